"""Write the machine page from the record that the last full `make test` left.

machine.py         take _build/test-run.json into data/measured/, write appendix/machine.md
machine.py check   prove that the page says what data/measured/test-run.json says
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FRESH = ROOT / "_build" / "test-run.json"
KEPT = ROOT / "data" / "measured" / "test-run.json"
PAGE = ROOT / "appendix" / "machine.md"

WHAT = {
    "lint": "`ruff check`",
    "format": "`ruff format --check`",
    "types": "`mypy` on cnnlib",
    "notebooks": "notebooks equal their text",
    "unit": "`pytest`: cnnlib, notebook form, tools",
    "nbval": "`pytest --nbval chapters/`: every stored output computed again",
    "book": "the book, every warning an error",
    "links": "links, anchors and descriptions of pictures in the built book",
    "browser": "every page in Chromium: light, dark, phone",
}
TEXT = """\
# The machine page

What ran, and how long it took: written by `make machine` from the record of the last full
`make test`, on {date}. Nothing on this page is typed by hand.

The machine: {system}, {cores} cores, Python {python}. The notebooks run without a GPU.

| package | version |
|---|---|
{versions}

| step of `make test` | seconds |
|---|---:|
{steps}
| **all, by the clock** | **{total:.0f}** |

{beside}Times on your machine will differ. The outputs may not: the tests compare them.

## The records

What takes longer than a reader should wait was run once, and its result kept in `data/measured/`.
The chapters and the model card read them from there.

{records}
"""
BESIDE = """\
The notebooks run in one process, as a reader types it; with two cores or more, `pytest` runs beside
them. Those seconds pass once, and count in both lines.

"""


def records() -> str:
    """An item for each measured result that names its command."""
    rows = []
    for path in sorted(KEPT.parent.glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if {"what", "date", "machine", "command"} <= set(kept):
            day, where = kept["date"][:10], kept["machine"]
            rows.append(f"- **{path.stem}**: {kept['what']}. {day}, {where}. `{kept['command']}`")
    return "\n".join(rows)


def render(record: dict[str, Any]) -> str:
    """The page."""
    versions = "\n".join(f"| {name} | {v} |" for name, v in record["versions"].items())
    seconds = record["seconds"]
    steps = "\n".join(f"| {WHAT[name]} | {seconds[name]:.0f} |" for name in seconds)
    beside = BESIDE if record["total"] < sum(seconds.values()) - 1 else ""
    facts = {k: record[k] for k in ("date", "system", "cores", "python")}
    return TEXT.format(
        versions=versions,
        steps=steps,
        records=records(),
        total=record["total"],
        beside=beside,
        **facts,
    )


def main(argv: list[str]) -> int:
    """Run the command line."""
    if argv == ["check"]:
        same = PAGE.read_text(encoding="utf-8") == render(json.loads(KEPT.read_text()))
        if not same:
            print("appendix/machine.md differs from its record: make machine", file=sys.stderr)
        return not same
    if not FRESH.exists():
        print("machine: no record of a full, passed `make test`; run it first", file=sys.stderr)
        return 1
    KEPT.write_text(FRESH.read_text())
    record = json.loads(KEPT.read_text())
    PAGE.write_text(render(record), encoding="utf-8")
    print(f"machine: wrote {PAGE.relative_to(ROOT)} from the run of {record['date']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
