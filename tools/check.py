"""Run every check and test, one step after the other, and print how long each took.

check.py             all steps, in order; goes on after a failure, ends non-zero if any failed
check.py STEP...     only these
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "_build" / "test-run.json"
BIN = Path(sys.executable).parent
SHOWN = ["numpy", "torch", "torchvision", "matplotlib", "scikit-learn", "jupyter-book", "nbval"]

# Each step exactly as a person would type it, from the project's folder.
STEPS = {
    "lint": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
    "notebooks": ["python", "tools/nb.py", "check"],
    # -n auto: one process a core. The notebooks run as a reader types it, one after the other.
    "unit": ["pytest", "-q", "-n", "auto", "-m", "not browser and not book"],
    "nbval": ["pytest", "--nbval", "chapters/", "-q"],
    "book": ["python", "tools/build_book.py"],
    "browser": [
        "python",
        "tools/browser.py",
        *["pytest", "-q", "-n", "auto", "-m"],
        "browser or book",
        "tests",
    ],
}


def machine() -> dict[str, object]:
    """What ran: for the machine page. Nothing that names a host or a person."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in SHOWN},
    }


def main(names: list[str]) -> int:
    """Run the named steps, or all."""
    unknown = [n for n in names if n not in STEPS]
    if unknown:
        print(f"no such step: {', '.join(unknown)}; there are {', '.join(STEPS)}", file=sys.stderr)
        return 2
    env = {**os.environ, "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", "")])}
    seconds, failed = {}, []
    for name in names or STEPS:
        command = STEPS[name]
        print(f"\n== {name}: {' '.join(command)}", flush=True)
        start = time.perf_counter()
        code = subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, env=env).returncode
        seconds[name] = round(time.perf_counter() - start, 1)
        if code:
            failed.append(name)
    print("\n== seconds")
    for name, value in seconds.items():
        print(f"{name:<10} {value:8.1f}  {'FAILED' if name in failed else 'passed'}")
    print(f"{'all':<10} {sum(seconds.values()):8.1f}")
    if not names and not failed:
        RECORD.write_text(json.dumps({**machine(), "seconds": seconds}, indent=1) + "\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
