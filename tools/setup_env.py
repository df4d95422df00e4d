"""Set up .venv with the exact versions of constraints.txt: uv when it is there, else venv and pip.

Runs on a bare Python 3.11 or newer. Whatever is missing is said in one line.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ".[notebooks,book,test,dev]"
GIB_NEEDED = 9  # what .venv takes with torch's CUDA libraries, and room to unpack


def stop(text: str) -> None:
    """End with one line."""
    sys.exit(f"set-up: {text}")


def run(command: list[str]) -> None:
    """Run a command; if it fails, say which."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    if subprocess.run(command, cwd=ROOT, env=env).returncode:
        stop(f"this failed, its own words are above: {' '.join(command)}")


def check_machine(venv: Path) -> None:
    """Stop where the set-up cannot work."""
    if sys.version_info < (3, 11):  # noqa: UP036 (this file runs before anything is checked)
        stop(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]} ({sys.executable})")
    if shutil.which("uv") is None and importlib.util.find_spec("ensurepip") is None:
        stop(
            "Python's venv module is incomplete; on Debian or Ubuntu: apt-get install python3-venv"
        )
    free = shutil.disk_usage(ROOT).free / 2**30
    if not venv.exists() and free < GIB_NEEDED:
        stop(f"{GIB_NEEDED} GiB of free disk are needed, here are {free:.1f}")


def works(python: Path, *words: str) -> bool:
    """Whether this Python is there and can do this."""
    try:
        return subprocess.run([str(python), *words], capture_output=True).returncode == 0
    except OSError:
        return False


def clear(venv: Path) -> None:
    """Remove an environment that was left half-made, and nothing else."""
    if not venv.exists() or not any(venv.iterdir()):
        return
    if venv.is_symlink() or not (venv / "pyvenv.cfg").exists():
        stop(f"{venv} is in the way and is no environment: remove it, or name another folder")
    shutil.rmtree(venv)


def main() -> None:
    """Make the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", default=".venv", help="folder of the environment")
    parser.add_argument("--constraints", default="constraints.txt")
    parser.add_argument("--pin", nargs="*", default=[], help="more exact versions, name==version")
    args = parser.parse_args()
    venv = ROOT / args.venv
    check_machine(venv)
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    what = ["-c", args.constraints, "-e", EXTRAS, *args.pin]
    if args.constraints == "none":
        what = what[2:]
    print(
        f"set-up: installing into {args.venv} (about 6 GB, some minutes the first time)", flush=True
    )
    uv = shutil.which("uv")
    if uv:
        if not works(python, "-c", ""):
            clear(venv)  # by hand: older versions of uv have no --clear
            run([uv, "venv", "-q", "--seed", "--python", sys.executable, str(venv)])
        run([uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(python), *what])
    else:
        if not works(python, "-m", "pip", "--version"):
            clear(venv)
            run([sys.executable, "-m", "venv", str(venv)])
        run([str(python), "-m", "pip", "install", "-q", *what])
    (venv / ".installed").touch()


if __name__ == "__main__":
    main()
