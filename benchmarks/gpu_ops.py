"""How near do cnnlib's operations come to cuDNN on a GPU, and both to what the card can do?

python benchmarks/gpu_ops.py --device cuda --json data/measured/gpu_ops.json

The equations of cnnlib.ops on torch tensors against torch.nn.functional on the shapes of
benchmarks/ops.py, and the convolutions once more on 32 times the images: the small batches do not
fill a large card. In float32 with and without TF32 and in bfloat16, forward and forward with
backward. Everyone is held against float64 before anyone is timed. The ceiling is the card's own
matrix product in the same format, measured in the same run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import roofline
import timing
import torch
from gpu_timing import MODES, in_turns, middle, parser, prepare, record, save, tf32
from torch.nn import functional as F

from cnnlib import ops

# Relative error in the L2 norm that is still rounding and not a mistake.
TOLERANCE = {"float32": 1e-4, "tf32": 5e-3, "bfloat16": 5e-2}
MORE = 32  # times the images of a small batch
Pair = tuple[Callable[[], torch.Tensor], Callable[[], tuple]]


class Case:
    """One operation on one shape: inputs in float64 on the CPU, and how both sides compute it."""

    def __init__(self, op: str, shape: str, inputs: dict[str, Any], options: dict, dy: Any) -> None:
        self.op, self.shape, self.inputs, self.options, self.dy = op, shape, inputs, options, dy
        self.flops = 0.0  # of the forward pass, where products count; else bytes do

    def at(self, dtype: torch.dtype, device: torch.device) -> tuple[list, Any]:
        """Inputs and dy in one dtype on the device; labels stay whole numbers."""

        def put(a: Any) -> Any:
            t = torch.from_numpy(a).to(device)
            return t.to(dtype) if t.is_floating_point() else t

        return [put(a) for a in self.inputs.values()], None if self.dy is None else put(self.dy)

    def theirs(self, inputs: list, dy: Any) -> Pair:
        """torch.nn.functional, and autograd for the way back."""
        function = getattr(F, self.op)
        tracked = [t.clone().requires_grad_(t.is_floating_point()) for t in inputs]
        wanted = [t for t in tracked if t.requires_grad]

        def forward() -> torch.Tensor:
            with torch.no_grad():
                return function(*inputs, **self.options)

        def both() -> tuple:
            y = function(*tracked, **self.options)
            return y.detach(), *torch.autograd.grad(y, wanted, dy)

        return forward, both

    def ours(self, inputs: list, dy: Any) -> Pair:
        """The pair of cnnlib.ops."""
        ahead, back = (getattr(ops, f"{self.op}_{way}") for way in ("forward", "backward"))

        def both() -> tuple:
            y, cache = ahead(*inputs, **self.options)
            gradients = back(cache) if dy is None else back(dy, cache)
            return y, *(gradients if isinstance(gradients, tuple) else (gradients,))

        return lambda: ahead(*inputs, **self.options)[0], both


def cases(quick: bool, cuda: bool) -> Iterator[Case]:
    """All shapes, those of benchmarks/ops.py first."""
    tables = timing.TINY if quick else timing.FULL
    for more in (1, MORE) if cuda and not quick else (1,):
        for name, ((n, *image), *rest) in tables["conv2d"].items():
            inputs, dy, options = timing.conv2d_inputs(((n * more, *image), *rest), np.float64)
            named = dict(zip(("x", "weight", "bias"), inputs, strict=True))
            case = Case("conv2d", name if more == 1 else f"{name} x{more}", named, options, dy)
            case.flops = 2.0 * dy.size * inputs[1][0].size
            yield case
    for op in ("max_pool2d", "avg_pool2d"):
        for name, ((n, c, h, w), k, options) in tables["pool"].items():
            size = [ops.output_size(side, k, **options) for side in (h, w)]
            x, dy = (timing.random(n, c, *s, dtype=np.float64) for s in ((h, w), size))
            yield Case(op, name, {"x": x}, {"kernel_size": k, **options}, dy)
    for name, (n, i, o) in tables["linear"].items():
        x, weight = (timing.random(*s, dtype=np.float64, scale=i**-0.5) for s in ((n, i), (o, i)))
        named = {"x": x, "weight": weight, "bias": timing.random(o, dtype=np.float64)}
        case = Case("linear", name, named, {}, timing.random(n, o, dtype=np.float64))
        case.flops = 2.0 * n * i * o
        yield case
    for name, (n, classes) in tables["cross_entropy"].items():
        labels = np.random.default_rng(0).integers(0, classes, n)
        logits = timing.random(n, classes, dtype=np.float64)
        yield Case("cross_entropy", name, {"x": logits, "labels": labels}, {}, None)


def error(got: tuple, want: tuple) -> float:
    """The largest relative error in the L2 norm among outputs and gradients; NaN is infinite."""
    worst = [
        float(torch.linalg.vector_norm(a.double() - b) / torch.linalg.vector_norm(b))
        for a, b in zip(got, want, strict=True)
    ]
    return float("inf") if any(e != e for e in worst) else max(worst)


def row(case: Case, mode: str, device: torch.device, peak: float, quick: bool) -> dict[str, Any]:
    """Check, then time, one case in one number format."""
    dtype, rounding = MODES[mode]
    inputs, dy = case.at(dtype, device)
    # The rounded inputs, so that only the arithmetic differs and ties stay ties.
    exact = [t.double() if t.is_floating_point() else t for t in inputs]
    torch.backends.cudnn.benchmark = (
        False  # choosing the best algorithm for float64 is not worth it
    )
    want = case.theirs(exact, None if dy is None else dy.double())[1]()
    torch.backends.cudnn.benchmark = device.type == "cuda"
    pairs = {"torch": case.theirs(inputs, dy), "cnnlib": case.ours(inputs, dy)}
    if case.op == "conv2d":  # the layout that tensor cores like: channels last
        x, weight, last = (
            t.contiguous(memory_format=torch.channels_last) for t in (*inputs[:2], dy)
        )
        pairs["torch NHWC"] = case.theirs([x, weight, *inputs[2:]], last)
    with tf32(rounding):
        errors = {who: error(pair[1](), want) for who, pair in pairs.items()}
        del want, exact
        runs = {
            f"{who} {way}": pair[i]
            for who, pair in pairs.items()
            for i, way in enumerate(("forward", "both"))
        }
        seconds = middle(in_turns(runs, device, budget=0 if quick else 0.6, least=3))
    out: dict[str, Any] = {"op": case.op, "shape": case.shape, "mode": mode}
    for who in pairs:
        ahead, both = seconds[f"{who} forward"], seconds[f"{who} both"]
        out[who] = {"forward_ms": round(1e3 * ahead, 5), "both_ms": round(1e3 * both, 5)}
        out[who]["error"] = float(f"{errors[who]:.2e}")
        out[who]["right"] = errors[who] < TOLERANCE[mode]
        if case.flops:  # forward, the gradient of x, the gradient of the weights: equal shares
            rates = case.flops / ahead / 1e12, 3 * case.flops / both / 1e12
            out[who] |= {"tflops": round(rates[0], 4), "tflops_both": round(rates[1], 4)}
            out[who]["share_both"] = round(1000 * rates[1] / peak, 4)
    return out


def print_table(record: dict[str, Any]) -> None:
    """One line for each case and format."""
    print("\nms forward / forward and backward; share: of the ceiling, forward and backward")
    print(f"{'':34s}{'torch':>20s}{'cnnlib':>20s}{'ratio':>8s}{'torch':>9s}{'cnnlib':>8s}")
    for r in record["rows"]:
        theirs, ours = r["torch"], r["cnnlib"]
        line = f"{r['op']:14s}{r['shape']:12s}{r['mode']:8s}"
        for who in (theirs, ours):
            line += f"{who['forward_ms']:11.3f} /{who['both_ms']:7.3f}"
        line += f"{ours['both_ms'] / theirs['both_ms']:8.2f}"
        if "share_both" in ours:
            line += f"{theirs['share_both']:9.1%}{ours['share_both']:8.1%}"
        print(line if theirs["right"] and ours["right"] else f"{line}  WRONG")


def main() -> int:
    """Run, print the table, and write the record if asked to."""
    args = parser(__doc__ or "", "gpu_ops").parse_args()
    device = prepare(args)
    peaks = {mode: roofline.products(device, mode, args.quick)["best"] for mode in TOLERANCE}
    rows: list[dict[str, Any]] = []

    def keep(finished: bool) -> dict[str, Any]:
        """Save what there is: whoever stops the program early keeps it."""
        result = record(
            "cnnlib.ops against torch.nn.functional on one device",
            "medians, in turns; errors: largest relative L2 error of outputs and gradients against "
            "float64 on the same rounded inputs; share: operations per second over the largest "
            "matrix product's in the same format",
            "gpu_ops",
            device,
            finished=finished,
            peaks_gflops=peaks,
            tolerance=TOLERANCE,
            rows=rows,
        )
        save(args.json, result)
        return result

    for case in cases(args.quick, device.type == "cuda"):
        print(f"  {case.op} {case.shape}", file=sys.stderr, flush=True)
        rows += [row(case, mode, device, peaks[mode], args.quick) for mode in TOLERANCE]
        keep(finished=False)
    print_table(keep(finished=True))
    wrong = [r for r in rows for who in ("torch", "cnnlib") if not r[who]["right"]]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
