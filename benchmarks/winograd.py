"""Time Winograd's convolution on NumPy against cnnlib's columns and torch on the CPU.

python benchmarks/winograd.py [--json data/measured/winograd.json] [--quick]

On the shapes of benchmarks/ops.py and in its way: one thread, in turns, checked before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from ops import UNSET, blas, geometric_mean, in_clean_environment, load, two, weigh

DEEP = 64  # channels from which on it is worth transforming tiles


def rounding(spec: tuple) -> dict[str, float]:
    """Largest error of float32 as a share of the largest output, for each way."""
    import numpy as np
    import timing

    from cnnlib import ops

    inputs, _, options = timing.conv2d_inputs(spec, np.float32)
    exact, _ = ops.conv2d_forward(*(a.astype(np.float64) for a in inputs), **options)
    ways = {
        "columns": ops.conv2d_forward(*inputs, **options)[0],
        "tile 2": ops.winograd_conv2d_forward(*inputs, tile=2, **options)[0],
        "tile 4": ops.winograd_conv2d_forward(*inputs, tile=4, **options)[0],
    }
    largest = np.abs(exact).max()
    return {name: float(f"{np.abs(y - exact).max() / largest:.2g}") for name, y in ways.items()}


def measure(quick: bool, budget: float) -> dict[str, Any]:
    """Weigh, check and time everything."""
    started, before = datetime.now(UTC), load()
    deep = ("cifar", "vgg112", "vgg56", "vgg14")
    weights = {} if quick else {name: weigh("winograd", "FULL", name) for name in deep}

    import numpy as np
    import timing
    import torch

    specs = timing.CONV2D
    if quick:
        specs = {"lenet": timing.TINY["conv2d"]["lenet"], "cifar": ((1, 64, 6, 6), 4, 3, {})}
    tables: dict[str, list] = {"float32": [], "float64": []}
    for kind, rows in tables.items():
        for name, spec in specs.items():
            print(f"  {kind} {name}", file=sys.stderr, flush=True)
            (_, channels, *_), _, kernel, options = spec
            fits = kernel == 3 and options.get("stride", 1) == 1
            whom = ("cnnlib", "winograd") if fits else ("cnnlib",)
            case = timing.conv2d_case(name, spec, np.dtype(kind), whom)
            timing.check(case, 2e-4 if kind == "float32" else 1e-10)
            row = timing.time_case(case, 0.0 if quick else budget)
            row["chosen"] = "winograd" if fits and channels >= DEEP else "cnnlib"
            if kind == "float32" and fits:
                row["rounding"] = rounding(spec)
            if kind == "float32" and name in weights:
                row["memory_mb"] = weights[name]
            rows.append(row)
    ways = ("cnnlib", "chosen")
    return {
        "what": "time over torch's time on one thread: forward, and forward with backward (both); "
        f"chosen: Winograd's way for 3x3 kernels, stride 1 and {DEEP} channels or more, columns "
        "elsewhere",
        "how": "processor time, in turns in one process; median over rounds of the ratio to torch "
        "in that round; rounding: largest error over largest output; memory_mb: peak of one "
        "forward and backward in a fresh process, its results included",
        "command": "python benchmarks/winograd.py "
        + ("--quick" if quick else f"--seconds {budget:g}"),
        "date": started.isoformat(timespec="minutes"),
        "seconds": round((datetime.now(UTC) - started).total_seconds()),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        "versions": {n: metadata.version(n) for n in ("numpy", "torch")},
        "blas": blas(),
        "threads": torch.get_num_threads(),
        "unset": list(UNSET),
        "load": {"before": before, "after": load()},
        **tables,
        "geomean": {
            kind: {
                way: {
                    mode: geometric_mean(
                        [r["ratios"][r["chosen"] if way == "chosen" else way][mode] for r in rows]
                    )
                    for mode in ("forward", "both")
                }
                for way in ways
            }
            for kind, rows in tables.items()
        },
    }


def main() -> int:
    """Run, print the table, and write the record if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file to write the record to")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, one round: a test")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each on each shape")
    args = parser.parse_args()
    if (code := in_clean_environment()) is not None:
        return code
    record = measure(args.quick, args.seconds)
    for kind in ("float32", "float64"):
        print(f"\n{kind + ', ratios to torch':42}{'columns':>18}{'Winograd':>18}")
        for row in record[kind]:
            pairs = (row["ratios"].get(who) for who in ("cnnlib", "winograd"))
            texts = (two(pair) if pair else f"{'':18}" for pair in pairs)
            print(f"{row['sizes']:42}" + "".join(texts))
        means = record["geomean"][kind]
        print(f"{'geometric mean; the better way for each':42}{two(means['cnnlib'])}"
              f"{two(means['chosen'])}")  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
