"""The glossary lists terms that the chapters use, once each, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(
    r"^\| (.+?) \| <span lang=\"zh-Hans\">(.+?)</span> \| (.+?) \| "
    r"\[(A?\d+)\]\(\.\./chapters/(\w+)\.ipynb\) \|$"
)
LINES = (ROOT / "appendix" / "glossary.md").read_text(encoding="utf-8").splitlines()
ROWS = [line for line in LINES if line.startswith("| ") and not line.startswith("| term")]


@pytest.mark.parametrize("line", ROWS, ids=lambda line: line.split("|")[1].strip())
def test_the_chapter_uses_the_term(line: str) -> None:
    """One of the term's forms stands in the chapter that the row points to."""
    match = ROW.match(line)
    assert match
    term, chinese, _, number, name = match.groups()
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert name.startswith(f"{number:0>2}_")
    text = (ROOT / "manuscript" / f"{name}.md").read_text(encoding="utf-8").lower()
    text = re.sub(r"\s+", " ", text)
    forms = [f.strip(' )"`').replace('" padding', "") for f in re.split(r"[,;(]", term.lower())]
    assert any(form in text for form in forms)


def test_terms_are_sorted_and_stand_once() -> None:
    """A reader finds a term by its place."""
    terms = [line.split("|")[1].strip().strip('"').lower() for line in ROWS]
    assert terms == sorted(set(terms))
