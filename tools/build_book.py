"""Build the HTML book, every warning an error, and say where it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
COMMAND = ["build", ".", "--all", "-W", "--keep-going", "-n", "-q"]


def main() -> int:
    """Build from nothing, so that no page of an earlier state stays."""
    for old in ("html", ".doctrees", "jupyter_execute"):
        shutil.rmtree(ROOT / "_build" / old, ignore_errors=True)
    tool = Path(sys.executable).with_name("jupyter-book")
    done = subprocess.run([str(tool), *COMMAND], cwd=ROOT)
    if done.returncode or not (HTML / "index.html").exists():
        print("the book was not built, see above", file=sys.stderr)
        return done.returncode or 1
    print(f"The book is in {HTML / 'index.html'}")
    print(f"Open it in a browser: {(HTML / 'index.html').as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
