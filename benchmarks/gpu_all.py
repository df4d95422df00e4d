"""Run every GPU benchmark of the project, one after another, and keep their records.

python benchmarks/gpu_all.py --data CIFAR_FOLDER [--folder data/measured] [--only roofline gpu_ops]

Meant for one H200; ends after 9.5 minutes, whatever happens. Each program runs by itself with a
limit, and keeps what it has measured when it is stopped. `--device cpu --quick` is a trial.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from time import perf_counter

HERE = Path(__file__).resolve().parent
LIMITS = {"roofline": 120, "cifar_speed": 150, "vgg16_throughput": 300, "gpu_ops": 240}  # seconds


def command(name: str, args: argparse.Namespace) -> list[str]:
    """The command line of one program."""
    kind = "cpu" if args.device == "cpu" else "cuda"
    file = f"roofline_{kind}" if name == "roofline" else name
    line = [sys.executable, str(HERE / f"{name}.py"), "--device", args.device]
    line += ["--json", str(args.folder / f"{file}.json")]
    if args.quick:
        line += ["--quick"]
    elif name == "cifar_speed":
        line += ["--data", str(args.data)]
    return line


def run(name: str, args: argparse.Namespace, left: float) -> str:
    """Run one program, for at most ``left`` seconds; say in a word how it went."""
    if name == "cifar_speed" and args.data is None and not args.quick:
        return "left out: it needs --data FOLDER"
    print(f"\n=== {name} ===", flush=True)
    begun, limit = perf_counter(), max(0.0, min(LIMITS[name], left))
    try:
        code = subprocess.run(command(name, args), timeout=limit, check=False).returncode
    except subprocess.TimeoutExpired:
        return f"stopped after {limit:.0f} s"
    word = "well" if code == 0 else f"exit code {code}"
    return f"{word}, {perf_counter() - begun:.0f} s"


def main() -> int:
    """Run all, then say how each went; 0 if all went well."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--device", default="cuda", help="cuda, or cpu for a trial")
    p.add_argument("--folder", type=Path, default=HERE.parent / "data" / "measured")
    p.add_argument("--data", type=Path, help="CIFAR-10: train/ and val/ with class folders")
    p.add_argument("--minutes", type=float, default=9.5, help="for all programs together")
    p.add_argument("--quick", action="store_true", help="tiny sizes: a test of the programs")
    p.add_argument("--only", nargs="+", choices=list(LIMITS), default=list(LIMITS))
    args = p.parse_args()
    if args.quick and args.folder == p.get_default("folder"):
        p.error("--quick measures nothing worth keeping: give it a --folder of its own")
    end = perf_counter() + 60 * args.minutes
    words = {name: run(name, args, end - perf_counter()) for name in args.only}
    print("\n" + "\n".join(f"{name:18s}{word}" for name, word in words.items()))
    return 0 if all(word.startswith("well") for word in words.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
