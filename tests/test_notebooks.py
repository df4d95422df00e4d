"""The form of every notebook: what a reader, Colab and nbval rely on."""

from __future__ import annotations

import ast
import base64
import io
import re
import statistics
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PATHS = sorted((ROOT / "chapters").glob("*.ipynb"))
CHAPTERS = [p for p in PATHS if p.name[0].isdigit()]
# nbval runs these cells but does not compare them: trainings, whose verdict is compared instead.
MOST_IGNORED = 20
SKIPPING = {"nbval-skip", "nbval-test-listed", "nbval-raises-exception"}
DIRECTIVE = re.compile(
    r"^(:::|```\{|~~~\{)|(?<!`)\{(cite|ref|numref|doc|eq|prf)[:a-z]*\}`", re.MULTILINE
)


def read(path: Path) -> Any:
    """A notebook."""
    return nbformat.read(path, 4)


def code(path: Path) -> list[Any]:
    """Its code cells without the set-up cell."""
    return [c for c in read(path).cells if c.cell_type == "code"][1:]


def markdown(path: Path) -> str:
    """All its prose."""
    return "\n\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")


def tags(cell: Any) -> set[str]:
    """A cell's tags."""
    return set(cell.metadata.get("tags", []))


each = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)


def test_every_notebook_is_in_the_table_of_contents_once() -> None:
    """Nothing that nbval runs is missing from the book, nothing in the book is missing here."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [c["file"] for part in toc["parts"] for c in part["chapters"]]
    assert sorted(f for f in listed if f.startswith("chapters/")) == [
        f"chapters/{p.stem}" for p in PATHS
    ]
    assert len(set(listed)) == len(listed)


@each
def test_starts_with_a_title_then_the_set_up(path: Path) -> None:
    """Colab and a lone folder need the set-up cell first; the book hides it."""
    cells = read(path).cells
    assert re.match(r"# \S", cells[0].source)
    assert cells[1].metadata["tags"] == ["remove-cell"]
    assert "cnnlib @" in cells[1].source
    assert cells[1].outputs == []


@each
def test_prose_is_plain_markdown(path: Path) -> None:
    """Directives and roles would stand as raw text in Jupyter and Colab."""
    assert DIRECTIVE.findall(markdown(path)) == []


@each
def test_no_line_of_prose_is_lost(path: Path) -> None:
    """MyST reads a line that starts with a per cent sign as a comment and drops it."""
    assert re.findall(r"^%.*", markdown(path), re.MULTILINE) == []


@each
def test_tables_have_headings(path: Path) -> None:
    """A screen reader announces the heading of a column; an empty one says nothing."""
    heads = re.findall(r"^(\|.*\|)\n\|[-:| ]+\|$", markdown(path), re.MULTILINE)
    empty = [h for h in heads if any(not cell.strip() for cell in h.split("|")[1:-1])]
    assert empty == []


@each
def test_outputs_hold_nothing_that_changes(path: Path) -> None:
    """No address in memory, no path of a machine, no bare picture object as the last line."""
    text = "\n".join(
        str(o.get("text", "")) + str(o.get("data", {}).get("text/plain", ""))
        for c in code(path)
        if "nbval-ignore-output" not in tags(c)
        for o in c.outputs
    )
    assert not re.search(r"0x[0-9a-f]{6,}", text)
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
    assert "<matplotlib." not in text


@each
def test_no_picture_is_cut_off(path: Path) -> None:
    """The outermost pixels are background: nothing reaches over the edge of a figure."""
    outputs = [o for c in code(path) for o in c.outputs]
    for k, coded in enumerate(
        o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})
    ):
        picture = Image.open(io.BytesIO(base64.b64decode(coded)))
        pixels = np.array(picture.convert("RGB"), dtype=int)
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert np.abs(edge - pixels[0, 0]).max() < 40, f"picture {k} of {path.name}"


@each_chapter
def test_training_says_where(path: Path) -> None:
    """Without ``device`` a training moves its network to a GPU, if there is one: later cells, which
    look at it with pictures on the processor, would fail there and nowhere else."""
    loose = []
    for cell in code(path):
        for call in (n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Call)):
            name = ast.unparse(call.func).rpartition(".")[2]
            given = {k.arg for k in call.keywords}
            said = "device" in given or (None in given and '"device"' in cell.source)
            if name in {"fit", "fine_tune", "linear_probe"} and not said:
                loose.append(cell.source)
    assert [s for s in loose if "def tune_vgg16" not in s] == []


@each_chapter
def test_cells_are_short(path: Path) -> None:
    """The median cell has fewer than ten lines and no line is cut off in the book's column."""
    lengths = [len(c.source.splitlines()) for c in code(path)]
    assert statistics.median(lengths) < 10
    wide = [line for c in code(path) for line in c.source.splitlines() if len(line) > 80]
    assert wide == []


@each_chapter
def test_anatomy(path: Path) -> None:
    """The parts that every chapter has."""
    prose = markdown(path)
    number = int(path.name[:2])
    kinds = "recall|compute|code|explore|project"
    exercises = re.findall(
        rf"^### Exercise {number}\.(\d+): .+ \(({kinds})\)$", prose, re.MULTILINE
    )
    assert [int(n) for n, _ in exercises] == list(range(1, len(exercises) + 1))
    assert len(exercises) >= 5
    assert exercises[0][1] == "recall"
    assert exercises[-1][1] == "project"
    for n in range(1, len(exercises) + 1):
        part = prose.split(f"### Exercise {number}.{n}:")[1].split("\n### Exercise")[0]
        assert "<summary>Solution</summary>" in part, f"exercise {number}.{n} has no solution"
    assert sum("solution" in tags(c) for c in code(path)) >= 3
    assert re.search(r"^> \*\*Mistake to avoid", prose, re.MULTILINE)
    for heading in ("## Exercises", "## What to remember", "## Where to read on"):
        assert heading in prose
    assert "interactive" in "\n".join(c.source for c in code(path))
    assert "cite:" in prose


@each
def test_captions_are_numbered_in_order(path: Path) -> None:
    """Figure 2.1, 2.2, ... (A2.1 in an appendix), one caption for each picture that is shown."""
    number = path.stem.split("_")[0].lstrip("0")
    for kind in ("Figure", "Table"):
        found = re.findall(rf"^\*\*{kind} {number}\.(\d+)\.\*\*", markdown(path), re.MULTILINE)
        assert [int(n) for n in found] == list(range(1, len(found) + 1))


def test_hidden_solutions_are_hidden_everywhere() -> None:
    """In the book, in JupyterLab and in Colab."""
    for path in PATHS:
        for cell in code(path):
            if "solution" in tags(cell):
                assert "hide-cell" in tags(cell)
                assert cell.metadata["jupyter"]["source_hidden"] is True
                assert cell.metadata["cellView"] == "form"


def test_ignored_cells_are_few_and_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Cells whose outputs nbval does not compare are counted and listed; none is skipped."""
    ignored = []
    for path in PATHS:
        for n, cell in enumerate(code(path), 2):
            assert not tags(cell) & SKIPPING, f"{path.stem} cell {n} is not run"
            if "nbval-ignore-output" in tags(cell):
                ignored.append(f"{path.stem} cell {n}: {cell.source.splitlines()[0]}")
    with capsys.disabled():
        print(f"\n{len(ignored)} cells run, but not compared by nbval:")
        print("\n".join(f"  {line}" for line in ignored))
    assert len(ignored) <= MOST_IGNORED
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"but for {len(ignored)} cells" in readme


@each
def test_a_training_is_followed_by_a_verdict(path: Path) -> None:
    """After a cell that is not compared comes one that is, and that asserts or prints a verdict."""
    cells = code(path)
    for n, cell in enumerate(cells):
        if "nbval-ignore-output" in tags(cell):
            rest = "\n".join(c.source for c in cells[n + 1 : n + 4])
            assert "assert" in rest or "within" in rest or "band" in rest
