"""Time cnnlib's operations on NumPy against torch on the CPU and against textbook NumPy.

python benchmarks/ops.py [--json data/measured/ops.json] [--quick]

One thread for everyone, all in one run in turns, each checked against torch before. A ratio is
time over torch's time: below 1, faster than torch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from math import exp, log
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# With these set, OpenBLAS would not take the kernel that it takes on a reader's machine.
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
ALL = ("cnnlib", "im2col", "tensordot")
CONV2D = ("lenet", "small", "cifar", "vgg112", "vgg56", "vgg14", "alex")
TEXTS = {
    "conv2d": "conv2d, float32",
    "conv2d_float64": "conv2d, float64",
    "max_pool2d": "max-pool, float32",
    "avg_pool2d": "average pool, float32",
    "linear": "linear, float32",
    "cross_entropy": "cross-entropy, float32",
}


def in_clean_environment() -> int | None:
    """Start this program again where BLAS has one thread and its own choice of kernel.

    Returns:
        Its exit code; None where the environment is clean already.
    """
    environment = {k: v for k, v in os.environ.items() if k not in UNSET}
    environment |= dict.fromkeys(THREADS, "1")
    if environment == dict(os.environ):
        return None
    return subprocess.call([sys.executable, *sys.argv], env=environment)


def load() -> list[float] | None:
    """Load averages of 1, 5 and 15 minutes, where the system has them."""
    return [round(a, 2) for a in os.getloadavg()] if hasattr(os, "getloadavg") else None


def weigh(who: str, kind: str, shape: str) -> float | None:
    """Peak megabytes of one forward and backward in a fresh process.

    glibc keeps large freed blocks after a while, and what is taken from them later would not
    count; a fixed threshold makes it give them back.
    """
    code = f"import timing; print(timing.extra_memory({who!r}, timing.{kind}['conv2d'][{shape!r}]))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=HERE,
        env=dict(os.environ) | {"MALLOC_MMAP_THRESHOLD_": "131072"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        print(f"memory of {who} on {shape} not measured: {run.stderr.strip().splitlines()[-1:]}")
        return None
    return round(float(run.stdout), 1)


def blas() -> str:
    """NumPy's matrix library, with the kernel it has chosen where threadpoolctl is there."""
    import numpy as np

    found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    text = f"{found['name']} {found['version']}"
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return text
    kernels = [lib["architecture"] for lib in threadpool_info() if "architecture" in lib]
    return f"{text}, kernel {' '.join(kernels)}"


def geometric_mean(numbers: list[float]) -> float:
    """The mean for ratios: twice as fast and twice as slow make 1."""
    return round(exp(sum(map(log, numbers)) / len(numbers)), 3)


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Geometric means over the shapes of all ratios."""
    return {
        who: {
            mode: geometric_mean([row["ratios"][who][mode] for row in rows])
            for mode in ("forward", "both")
        }
        for who in rows[0]["ratios"]
    }


def measure(quick: bool, budget: float) -> dict[str, Any]:
    """Weigh, check and time everything."""
    kind = "TINY" if quick else "FULL"
    started, before = datetime.now(UTC), load()
    names = ("lenet", "alex") if quick else CONV2D
    # First, while this process is small: a child inherits the peak of its parent.
    weights = {name: {who: weigh(who, kind, name) for who in ("cnnlib", "torch")} for name in names}

    import numpy as np
    import timing
    import torch

    specs = getattr(timing, kind)

    def row(case: timing.Case, tolerance: float = 1e-4) -> dict[str, Any]:
        print(f"  {case.op} {case.shape}", file=sys.stderr, flush=True)
        timing.check(case, tolerance)
        return timing.time_case(case, 0.0 if quick else budget)

    f32, f64 = np.float32, np.float64
    tables: dict[str, list] = {}
    conv = specs["conv2d"].items()
    tables["conv2d"] = [row(timing.conv2d_case(n, s, f32, ALL)) for n, s in conv]
    for line in tables["conv2d"]:
        line["memory_mb"] = {
            **weights[line["shape"]],
            "results": round(timing.results_megabytes(specs["conv2d"][line["shape"]]), 1),
        }
    tables["conv2d_float64"] = [
        row(timing.conv2d_case(n, s, f64, ("cnnlib",)), 1e-10) for n, s in conv
    ]
    for op in ("max_pool2d", "avg_pool2d"):
        tables[op] = [row(timing.pool_case(op, n, s)) for n, s in specs["pool"].items()]
    tables["linear"] = [row(timing.linear_case(n, *s)) for n, s in specs["linear"].items()]
    tables["cross_entropy"] = [
        row(timing.cross_entropy_case(n, *s)) for n, s in specs["cross_entropy"].items()
    ]
    (n, *image), *rest = specs["conv2d"]["lenet"]
    few = ((min(n, 4), *image), *rest)  # loops take a second or so for each image
    loops = row(timing.conv2d_case("lenet", few, f32, ("loops",)))
    return {
        "what": "time over torch's time on one thread: forward, and forward with backward (both)",
        "how": "processor time, in turns in one process; median over rounds of the ratio to torch "
        "in that round, few rounds for the slow ones; "
        "memory_mb: peak of one forward and backward in a fresh process, its results included",
        "command": "python benchmarks/ops.py " + ("--quick" if quick else f"--seconds {budget:g}"),
        "date": started.isoformat(timespec="minutes"),
        "seconds": round((datetime.now(UTC) - started).total_seconds()),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        "versions": {
            "python": platform.python_version(),
            **{n: metadata.version(n) for n in ("numpy", "torch")},
        },
        "blas": blas(),
        "threads": torch.get_num_threads(),
        "unset": list(UNSET),
        "load": {"before": before, "after": load()},
        **tables,
        "loops": loops,
        "geomean": {name: means(rows) for name, rows in tables.items()},
    }


def print_table(record: dict[str, Any]) -> None:
    """One line a shape: torch's times, and each competitor's ratios."""
    print(f"\n{record['machine']}; BLAS of NumPy: {record['blas']}; threads: {record['threads']}")
    print(f"not in the environment: {', '.join(record['unset'])}; versions: {record['versions']}")
    print(f"load average before {record['load']['before']}, after {record['load']['after']}")
    print("\nEach pair is forward / forward and backward; ratios to torch, below 1 is faster.")
    for name, text in TEXTS.items():
        whom = list(record["geomean"][name])
        head = f"{text:42s}{'torch, ms':>18s}" + "".join(f"{who:>18s}" for who in whom)
        print(f"\n{head}\n{'-' * len(head)}")
        for row in record[name]:
            line = f"{row['shape']:8s}{row['sizes']:34s}" + two(row["torch_ms"])
            print(line + "".join(two(row["ratios"][who]) for who in whom))
        print(f"{'geometric mean':60s}" + "".join(two(m) for m in record["geomean"][name].values()))
    print(f"\nPlain loops on {record['loops']['sizes']}:{two(record['loops']['ratios']['loops'])}")
    print("\nPeak memory of conv2d, forward and backward, MB     cnnlib   torch   of which results")
    for row in record["conv2d"]:
        memory = row["memory_mb"]
        numbers = [memory[k] for k in ("cnnlib", "torch", "results")]
        texts = ["?" if number is None else f"{number:.1f}" for number in numbers]
        print(f"{row['shape']:8s}{row['sizes']:42s}{texts[0]:>8s}{texts[1]:>8s}{texts[2]:>19s}")


def two(pair: dict[str, float]) -> str:
    """The two numbers of a column."""
    texts = [f"{a:.2f}" if a < 100 else f"{a:.0f}" for a in (pair["forward"], pair["both"])]
    return f"{' / '.join(texts):>18s}"


def main() -> int:
    """Run, print the table, and write the record if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file to write the record to")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, one round: a test")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="time for each competitor on each shape"
    )
    args = parser.parse_args()
    if (code := in_clean_environment()) is not None:
        return code
    record = measure(args.quick, args.seconds)
    print_table(record)
    if args.json:
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
