"""Stamp the repository's public address into everything that names it.

address.py https://github.com/you/repository

The address stands in _config.yml (repository.url). README, CITATION.cff, pyproject.toml and the
set-up cell of every notebook repeat it; this changes them all, and a test finds any stray copy.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import nb  # noqa: E402

# _config.yml last: the others are found by the address in it, also when a run is repeated.
PLACES = ["README.md", "CITATION.cff", "pyproject.toml", "_config.yml"]
FORM = re.compile(r"https://[\w.-]+(:\d+)?/[\w.-]+/[\w.-]+")


def slug(url: str) -> str:
    """owner/repository, which Colab's addresses contain."""
    return urlsplit(url).path.strip("/")


def restamp(text: str, old: str, new: str) -> str:
    """The text with the new address and the new owner/repository."""
    both = rf"(?:(?P<url>{re.escape(old)})|(?<![\w.-]){re.escape(slug(old))})(?![\w-])"
    return re.sub(both, lambda m: new if m["url"] else slug(new), text)


def main(argv: list[str]) -> int:
    """Run the command line."""
    url = argv[0].strip().removesuffix("/").removesuffix(".git") if argv else ""
    if not FORM.fullmatch(url):
        print(
            f"address: expected https://host/owner/repository, got {url!r}; "
            "use: make address URL=https://github.com/you/repository",
            file=sys.stderr,
        )
        return 2
    old = nb.address()
    for name in PLACES:
        path = ROOT / name
        nb.write(path, restamp(path.read_text(encoding="utf-8"), old, url))
    for path in sorted(nb.BOOKS.glob("*.ipynb")):
        nb.stamp(path.stem)
    print(f"address: {old} -> {url}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
