"""Run the tests with the oldest numpy, torch and torchvision that pyproject.toml allows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ".venv-oldest"


def oldest() -> list[str]:
    """The lower bounds, as exact pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["notebooks"]
    pins = (re.match(r"(numpy|torch|torchvision)>=([\d.]+)", w) for w in wanted)
    return [f"{m[1]}=={m[2]}.*" for m in pins if m]


def main() -> int:
    """Set up the second environment and run pytest and nbval in it."""
    setup = [sys.executable, str(ROOT / "tools/setup_env.py"), "--venv", VENV]
    code = subprocess.run([*setup, "--constraints", "none", "--pin", *oldest()]).returncode
    if code:
        return code
    bin = ROOT / VENV / ("Scripts" if os.name == "nt" else "bin")
    env = {**os.environ, "PATH": f"{bin}{os.pathsep}{os.environ.get('PATH', '')}"}
    steps = [
        ["pytest", "-q", "-m", "not browser and not book"],
        ["pytest", "--nbval", "chapters/", "-q"],
    ]
    codes = [subprocess.run([str(bin / s[0]), *s[1:]], cwd=ROOT, env=env).returncode for s in steps]
    return int(any(codes))  # a step that a signal killed has a code below 0


if __name__ == "__main__":
    sys.exit(main())
