"""The cases of benchmarks/ops.py: what is run, checked against torch, timed and weighed.

Import it only after the environment is set: NumPy's BLAS reads its thread count once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import textbook

from cnnlib import ops

# name: (N, C, H, W), kernels, kernel size, options
CONV2D = {
    "lenet": ((64, 1, 28, 28), 6, 5, {}),
    "small": ((64, 16, 14, 14), 32, 3, {"padding": 1}),
    "cifar": ((32, 64, 32, 32), 64, 3, {"padding": 1}),
    "vgg112": ((4, 64, 112, 112), 128, 3, {"padding": 1}),
    "vgg56": ((4, 256, 56, 56), 256, 3, {"padding": 1}),
    "vgg14": ((4, 512, 14, 14), 512, 3, {"padding": 1}),
    "alex": ((4, 3, 227, 227), 96, 11, {"stride": 4}),
}
POOL = {
    "2x2 s2": ((32, 64, 56, 56), 2, {"stride": 2}),
    "3x3 s2": ((32, 64, 56, 56), 3, {"stride": 2}),
}
LINEAR = {"mlp": (64, 784, 256), "vgg": (128, 4096, 4096)}  # N, I, O
CROSS_ENTROPY = {"digits": (64, 10), "imagenet": (128, 1000)}  # N, classes
TINY = {
    "conv2d": {"lenet": ((2, 1, 9, 8), 2, 3, {}), "alex": ((1, 2, 13, 12), 3, 5, {"stride": 4})},
    "pool": {
        "2x2 s2": ((2, 3, 6, 8), 2, {"stride": 2}),
        "3x3 s2": ((2, 3, 7, 9), 3, {"stride": 2}),
    },
    "linear": {"mlp": (4, 6, 5)},
    "cross_entropy": {"digits": (4, 10)},
}
FULL = {"conv2d": CONV2D, "pool": POOL, "linear": LINEAR, "cross_entropy": CROSS_ENTROPY}


# The processor's time of this one thread: what other programs take in between does not count.
# On Windows that clock ticks 64 times a second only.
clock = perf_counter if sys.platform == "win32" else process_time
LEAST = {"torch": 7, "cnnlib": 7, "winograd": 7}  # rounds; the slow ones need only 3
MOST = 60


@dataclass
class Case:
    """One operation on one shape, and everyone who computes it.

    Each competitor is a pair: ``forward() -> y`` and ``both() -> (y, gradients)``.
    """

    op: str
    shape: str
    sizes: str
    competitors: dict[str, tuple[Callable[[], Any], Callable[[], tuple]]] = field(
        default_factory=dict
    )


def torch_pair(function: Callable, dy: Any, **inputs: Any) -> tuple[Callable, Callable]:
    """torch.nn.functional without gradients, and with autograd."""
    import torch

    torch.set_num_threads(1)
    plain = [torch.from_numpy(a) for a in inputs.values()]
    tracked = [t.clone().requires_grad_(t.is_floating_point()) for t in plain]
    wanted = [t for t in tracked if t.requires_grad]
    upstream = None if dy is None else torch.from_numpy(dy)

    def forward() -> Any:
        with torch.no_grad():
            return function(*plain)

    def both() -> tuple:
        y = function(*tracked)
        return y.detach(), *torch.autograd.grad(y, wanted, upstream)

    return forward, both


def numpy_pair(
    forward: Callable, backward: Callable, dy: Any, inputs: list, options: dict
) -> tuple[Callable, Callable]:
    """The pair of a forward and a backward function of the form of cnnlib.ops."""

    def both() -> tuple:
        y, cache = forward(*inputs, **options)
        gradients = backward(cache) if dy is None else backward(dy, cache)
        return y, *(gradients if isinstance(gradients, tuple) else (gradients,))

    return lambda: forward(*inputs, **options)[0], both


def random(*shape: int, dtype: Any = np.float32, scale: float = 1.0) -> np.ndarray:
    """Normal numbers, the same in each run for one shape."""
    return (np.random.default_rng(0).normal(size=shape) * scale).astype(dtype)


def conv2d_inputs(spec: tuple, dtype: Any) -> tuple[list[np.ndarray], np.ndarray, dict]:
    """x, weight and bias; dy; options."""
    (n, c, h, w), o, k, options = spec
    size = [ops.output_size(side, k, **options) for side in (h, w)]
    inputs = [
        random(n, c, h, w, dtype=dtype),
        random(o, c, k, k, dtype=dtype, scale=(c * k * k) ** -0.5),
        random(o, dtype=dtype),
    ]
    return inputs, random(n, o, *size, dtype=dtype), options


def conv2d_pair(who: str, spec: tuple, dtype: Any) -> tuple[Callable, Callable]:
    """One competitor's convolution."""
    inputs, dy, options = conv2d_inputs(spec, dtype)
    if who == "torch":
        import torch

        names = dict(zip(("x", "weight", "bias"), inputs, strict=True))
        return torch_pair(lambda *a: torch.nn.functional.conv2d(*a, **options), dy, **names)
    if who == "cnnlib":
        return numpy_pair(ops.conv2d_forward, ops.conv2d_backward, dy, inputs, options)
    if who == "winograd":
        pair = (ops.winograd_conv2d_forward, ops.winograd_conv2d_backward)
        return numpy_pair(*pair, dy, inputs, options)
    name = {"im2col": "im2col", "tensordot": "windows", "loops": "loops"}[who]
    forward = getattr(textbook, f"{name}_conv2d_forward")
    return numpy_pair(forward, getattr(textbook, f"{name}_conv2d_backward"), dy, inputs, options)


def conv2d_case(name: str, spec: tuple, dtype: Any, whom: tuple[str, ...]) -> Case:
    """Torch, then the others, on one shape."""
    shape, o, k, options = spec
    extra = "".join(f" {option} {value}" for option, value in options.items())
    case = Case("conv2d", name, f"{shape}->{o} {k}x{k}{extra}".replace(", ", ","))
    for who in ("torch", *whom):
        case.competitors[who] = conv2d_pair(who, spec, dtype)
    return case


def pool_case(op: str, name: str, spec: tuple) -> Case:
    """op is max_pool2d or avg_pool2d."""
    import torch

    (n, c, h, w), k, options = spec
    x = random(n, c, h, w)
    size = [ops.output_size(side, k, **options) for side in (h, w)]
    dy = random(n, c, *size)
    function = getattr(torch.nn.functional, op)
    case = Case(op, name, f"({n},{c},{h},{w}) {name}")
    case.competitors["torch"] = torch_pair(lambda a: function(a, k, **options), dy, x=x)
    for who, library, prefix in (
        ("cnnlib", ops, ""),
        ("im2col", textbook, "im2col_"),
        ("windows", textbook, "windows_"),
    ):
        forward = getattr(library, f"{prefix}{op}_forward")
        backward = getattr(library, f"{prefix}{op}_backward")
        case.competitors[who] = numpy_pair(forward, backward, dy, [x, k], options)
    return case


def linear_case(name: str, n: int, i: int, o: int) -> Case:
    """A dense layer."""
    import torch

    inputs = [random(n, i), random(o, i, scale=i**-0.5), random(o)]
    dy = random(n, o)
    case = Case("linear", name, f"({n},{i})->{o}")
    names = dict(zip(("x", "weight", "bias"), inputs, strict=True))
    case.competitors["torch"] = torch_pair(torch.nn.functional.linear, dy, **names)
    case.competitors["cnnlib"] = numpy_pair(ops.linear_forward, ops.linear_backward, dy, inputs, {})
    return case


def cross_entropy_case(name: str, n: int, classes: int) -> Case:
    """Logits and class numbers."""
    import torch

    logits, labels = random(n, classes), np.random.default_rng(0).integers(0, classes, n)
    case = Case("cross_entropy", name, f"({n},{classes})")
    function = torch.nn.functional.cross_entropy
    case.competitors["torch"] = torch_pair(function, None, logits=logits, labels=labels)
    pair = (ops.cross_entropy_forward, ops.cross_entropy_backward)
    case.competitors["cnnlib"] = numpy_pair(*pair, None, [logits, labels], {})
    return case


def check(case: Case, tolerance: float) -> None:
    """Everyone must agree with torch, results and gradients, before anyone is timed."""
    _, both = case.competitors["torch"]
    expected = [np.asarray(a) for a in both()]
    for who, (forward, both) in case.competitors.items():
        results = [*both(), forward()]
        for got, want in zip(results, [*expected, expected[0]], strict=True):
            got = np.asarray(got)
            assert got.dtype == want.dtype, f"{case.op} {case.shape}, {who}: {got.dtype}"
            worst = np.abs(got - want).max() / np.abs(want).max()
            assert worst < tolerance, f"{case.op} {case.shape}: {who} is off by {worst:.1e}"


def seconds(function: Callable[[], Any], number: int = 1) -> float:
    """Time of one call, the mean of ``number`` calls."""
    start = clock()
    for _ in range(number):
        function()
    return (clock() - start) / number


def time_case(case: Case, budget: float) -> dict[str, Any]:
    """Time all competitors in turns, A B C A B C; return the row for the record.

    A competitor that has used up its budget of seconds sits out the later rounds, once it was in
    the least number of rounds. Its ratio is the median of the ratios to torch of the same round,
    so that what slows down the machine for a while slows down both. A budget of 0 means one round.
    """
    spent = dict.fromkeys(case.competitors, 0.0)
    number: dict[str, list[int]] = {}
    times: dict[str, list[list[float]]] = {who: [] for who in case.competitors}
    for turn in range(MOST if budget else 1):
        playing = [who for who in spent if turn < LEAST.get(who, 3) or spent[who] < budget]
        if playing in ([], ["torch"]):
            break
        for who in dict.fromkeys(["torch", *playing]):
            if who not in number:  # a time should be a few thousandths of a second at least
                row = [seconds(f) for f in case.competitors[who]]
                number[who] = [max(1, round(0.005 / max(t, 1e-5))) for t in row]
            if turn > 0 or max(number[who]) > 1:
                pair = zip(case.competitors[who], number[who], strict=True)
                row = [seconds(f, k) for f, k in pair]
            spent[who] += sum(t * k for t, k in zip(row, number[who], strict=True))
            times[who].append(row)
    ratios = {
        who: [
            median(t[mode] / base[mode] for t, base in zip(rows, times["torch"], strict=False))
            for mode in (0, 1)
        ]
        for who, rows in times.items()
        if who != "torch"
    }
    torch_ms = [1000 * median(row[mode] for row in times["torch"]) for mode in (0, 1)]
    return {
        "shape": case.shape,
        "sizes": case.sizes,
        "torch_ms": named(torch_ms, 3),
        "ratios": {who: named(pair, 3) for who, pair in ratios.items()},
        "rounds": {who: len(rows) for who, rows in times.items()},
    }


def named(pair: list[float], digits: int) -> dict[str, float]:
    """Forward alone and forward with backward."""
    return {"forward": round(pair[0], digits), "both": round(pair[1], digits)}


def extra_memory(who: str, spec: tuple) -> float:
    """Megabytes that one forward and backward needs at its peak, results included.

    For a process of its own: the peak is that of the process.
    """
    tiny = conv2d_pair(who, TINY["conv2d"]["lenet"], np.float32)
    tiny[1]()  # loads what is loaded at the first call
    _, both = conv2d_pair(who, spec, np.float32)
    before = resident(reset=True)
    results = both()
    return (resident() - before) / 1e6 if results else 0.0


def resident(reset: bool = False) -> float:
    """Peak bytes in memory so far; after ``reset`` (where the system can) the bytes now."""
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    try:
        if reset:
            clear.write_text("5")  # Linux: the peak starts again from here
        line = next(a for a in status.read_text().splitlines() if a.startswith("VmHWM"))
        return 1024.0 * float(line.split()[1])
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else 1024 * peak)


def results_megabytes(spec: tuple) -> float:
    """What nobody can do without: y and the three gradients."""
    inputs, dy, _ = conv2d_inputs(spec, np.float32)
    return (dy.nbytes + sum(a.nbytes for a in inputs)) / 1e6
