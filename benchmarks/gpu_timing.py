"""What the GPU benchmarks share: the device, the clock, TF32, and what every record says."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from timing import clock

# How numbers are kept and multiplied: dtype, and whether tensor cores may round float32 to TF32.
MODES: dict[str, tuple[torch.dtype, bool]] = {
    "float64": (torch.float64, False),
    "float32": (torch.float32, False),
    "tf32": (torch.float32, True),
    "bfloat16": (torch.bfloat16, False),
    "float16": (torch.float16, False),
}


def parser(text: str, name: str) -> argparse.ArgumentParser:
    """The options that all these programs have."""
    p = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--device", default="auto", help="cuda, cpu, or auto: CUDA where there is one")
    p.add_argument("--quick", action="store_true", help="tiny sizes, one round: a test")
    p.add_argument("--json", type=Path, help=f"file for the record, data/measured/{name}.json")
    p.add_argument("--threads", type=int, default=1, help="threads on the CPU")
    return p


def typed(p: argparse.ArgumentParser, args: argparse.Namespace) -> str:
    """The options that are not at their defaults, as they are typed; no name of a folder."""
    words = []
    for name, value in vars(args).items():
        if name in ("device", "json") or value == p.get_default(name):
            continue
        values = value if isinstance(value, list) else [] if value is True else [value]
        words += [f"--{name}", *("FOLDER" if name == "data" else str(v) for v in values)]
    return "".join(f"{word} " for word in words)


def pick(name: str) -> torch.device:
    """The device of that name, or of "auto"; the program ends where there is no such device."""
    cuda = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if cuda else "cpu"
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise SystemExit(f"--device must be auto, cpu or cuda, got {name!r}")
    if name.startswith("cuda") and not cuda:
        raise SystemExit("there is no CUDA device here (torch.cuda.is_available() is False)")
    # Some functions want to know which card: "cuda" alone does not say.
    return (
        torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)
    )


def wait(device: torch.device) -> None:
    """Return when the device has finished all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def tf32(matmul: bool, convolution: bool | None = None) -> Iterator[None]:
    """Let matrix products and cuDNN's convolutions round float32 inputs to TF32, or forbid it.

    PyTorch has one switch for each, and their defaults differ: products no, convolutions yes.
    These two names work from 2.4 on; mixing them with the newer ``fp32_precision`` is an error.
    """
    products, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, cudnn.allow_tf32
    products.allow_tf32 = matmul
    cudnn.allow_tf32 = matmul if convolution is None else convolution
    try:
        yield
    finally:
        products.allow_tf32, cudnn.allow_tf32 = before


def elapsed(function: Callable[[], Any], number: int, device: torch.device, one: bool) -> float:
    """Seconds of one call, the mean of ``number`` calls made one after the other.

    On CUDA by events, which the device itself reads when it gets there: a host's clock would read
    how long it takes to put the work into the queue. On the CPU with one thread, its own time.
    """
    if device.type == "cuda":
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(number):
            function()
        stop.record()
        stop.synchronize()
        return float(start.elapsed_time(stop)) / 1000 / number
    now = clock if one else perf_counter
    begun = now()
    for _ in range(number):
        function()
    return (now() - begun) / number


def in_turns(
    functions: dict[str, Callable[[], Any]],
    device: torch.device,
    *,
    budget: float = 1.0,
    least: int = 5,
    most: int = 40,
) -> dict[str, list[float]]:
    """Seconds of one call of each function, round by round, in turns A B C A B C.

    Three calls before the clock starts: kernels are loaded and cuDNN has chosen its algorithm.

    Args:
        functions: who -> what to call.
        device: where they work.
        budget: seconds for all; 0 means one round.
        least: rounds, whatever they take.
        most: rounds at most.
    """
    one = torch.get_num_threads() == 1
    number = {}
    for who, function in functions.items():
        for _ in range(3 if budget else 1):
            function()
        once = elapsed(function, 1, device, one)
        number[who] = max(1, round(0.005 / max(once, 2e-6))) if budget else 1
    times: dict[str, list[float]] = {who: [] for who in functions}
    begun = perf_counter()
    for turn in range(most if budget else 1):
        if turn >= least and perf_counter() - begun > budget:
            break
        for who, function in functions.items():
            times[who].append(elapsed(function, number[who], device, one))
    return times


def middle(times: dict[str, list[float]]) -> dict[str, float]:
    """The median of each list."""
    return {who: median(rounds) for who, rounds in times.items()}


def device_name(device: torch.device) -> str:
    """What the card calls itself; for a CPU, what PyTorch may use of it."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"CPU, {torch.backends.cpu.get_cpu_capability()}, {threads()}"


def threads() -> str:
    """How many of them, in words."""
    n = torch.get_num_threads()
    return f"{n} thread" + "s" * (n != 1)


def prepare(args: argparse.Namespace) -> torch.device:
    """Set what all timings here assume, and say where they run."""
    device = pick(args.device)
    torch.manual_seed(0)
    if device.type == "cpu":
        torch.set_num_threads(args.threads)
    else:
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
    print(f"{device_name(device)}; PyTorch {torch.__version__}", flush=True)
    return device


def record(what: str, how: str, name: str, device: torch.device, **body: Any) -> dict[str, Any]:
    """A record of this run: what, how, when, on what, and the numbers.

    ``file`` in body is the record's name where it differs, ``options`` what else was typed.
    """
    versions = {"python": platform.python_version()}
    versions |= {n: metadata.version(n) for n in ("numpy", "torch")}
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if device.type == "cuda":
        versions |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
        memory = torch.cuda.get_device_properties(device).total_memory
        machine += f", {device_name(device)}, {memory / 2**30:.0f} GiB"
    return {
        "what": what,
        "how": how,
        "command": f"python benchmarks/{name}.py --device {device.type} {body.pop('options', '')}"
        f"--json data/measured/{body.pop('file', name)}.json",
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": machine,
        "device": device_name(device),
        "kind": device.type,
        "versions": versions,
        "load": [round(a, 2) for a in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        **body,
    }


def save(path: Path | None, record: dict[str, Any]) -> None:
    """Write the record in one step, if there is a place for it."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    print(f"record: {path.name}", file=sys.stderr)
