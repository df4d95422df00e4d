"""Make chapters/*.ipynb from manuscript/*.md, and keep the two the same.

nb.py run [NAME...]    execute the text, write the notebook with its outputs (same bytes every time)
nb.py check [NAME...]  prove, without running anything, that text and notebook agree
nb.py pull [NAME...]   take edits made in Jupyter or Colab back into the text
nb.py stamp            put the repository address of _config.yml into the notebooks' set-up cells

People edit and review the text; readers open the notebook. A cell may start with short options:
``:alt:`` (what its picture shows), ``:dark: invert`` (a drawing on white), ``:width:``, ``:tags:``.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent
TEXT, BOOKS = ROOT / "manuscript", ROOT / "chapters"
# One environment for whoever executes a notebook: this tool, and nbval through conftest.py.
ENV = {
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TQDM_DISABLE": "1",
}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
HEADER = """---
kernelspec: {display_name: Python 3, language: python, name: python3}
jupytext: {text_representation: {extension: .md, format_name: myst}}
---

"""
SETUP = """\
# Inside a checkout: use it. In Colab, or alone in a folder: install cnnlib first.
import importlib.util
import subprocess
import sys
from pathlib import Path

if (Path.cwd().parent / "cnnlib" / "__init__.py").exists():
    sys.path.insert(0, str(Path.cwd().parent))
elif importlib.util.find_spec("cnnlib") is None:
    source = "git+{url}"
    if "google.colab" in sys.modules:  # keep the torch that Colab brings
        wanted = ["--no-deps", "array-api-compat", f"cnnlib @ {{source}}"]
    else:
        wanted = [f"cnnlib[notebooks] @ {{source}}"]
    pip = [sys.executable, "-m", "pip", "install", "-q"]
    subprocess.run([*pip, *wanted], check=True)"""


def address() -> str:
    """The repository's public address, which stands in _config.yml and nowhere else by hand."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return config["repository"]["url"]


def expand(options: dict[str, Any]) -> dict[str, Any]:
    """The metadata that Jupyter, Colab and the book understand, from a cell's short options."""
    tags = list(options.get("tags", []))
    image = {"alt": options.get("alt"), "width": options.get("width")}
    if options.get("dark") == "invert":
        image["classes"] = "invert-dark"
    mystnb: dict[str, Any] = {"image": {k: v for k, v in image.items() if v}}
    out: dict[str, Any] = {}
    if "solution" in tags:  # hidden in the book, in JupyterLab and in Colab
        tags.append("hide-cell")
        mystnb["code_prompt_show"] = "Show the solution in code"
        mystnb["code_prompt_hide"] = "Hide the solution in code"
        out |= {"cellView": "form", "jupyter": {"source_hidden": True}}
    return out | {k: v for k, v in (("mystnb", mystnb), ("tags", tags)) if v and v != {"image": {}}}


def shorten(metadata: dict[str, Any]) -> dict[str, Any]:
    """The short options of a cell, from a notebook's metadata: the way back of `expand`."""
    image = metadata.get("mystnb", {}).get("image", {})
    tags = [t for t in metadata.get("tags", []) if t != "hide-cell" or not metadata.get("cellView")]
    options = {
        "alt": image.get("alt"),
        "dark": "invert" if image.get("classes") == "invert-dark" else None,
        "width": image.get("width"),
        "tags": tags,
    }
    return {k: v for k, v in options.items() if v}


def name_cells(cells: list[Any]) -> None:
    """Ids that depend on the content alone."""
    seen: dict[str, int] = {}
    for cell in cells:
        digest = hashlib.sha1(cell.source.encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def setup_cell() -> Any:
    """The first code cell of every notebook."""
    source = SETUP.format(url=address())
    return nbformat.v4.new_code_cell(source, metadata={"tags": ["remove-cell"]})


def from_text(name: str) -> Any:
    """The notebook of a text, without outputs."""
    nb = jupytext.read(TEXT / f"{name}.md")
    nb.metadata = {k: dict(v) for k, v in METADATA.items()}
    for cell in nb.cells:
        options = {k: v for k, v in cell.metadata.items() if k in ("alt", "dark", "width", "tags")}
        unknown = set(cell.metadata) - set(options)
        if unknown:
            raise ValueError(
                f"{name}: unknown cell options {sorted(unknown)} in: {cell.source[:60]!r}"
            )
        cell.metadata = expand(options) if cell.cell_type == "code" else {}
    nb.cells.insert(1, setup_cell())
    name_cells(nb.cells)
    nb.nbformat, nb.nbformat_minor = 4, 5
    return nb


def write(path: Path, text: str) -> None:
    """Replace a file in one step: a killed run leaves the old one whole."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", newline="\n", dir=path.parent, suffix=".tmp", delete=False
    ) as f:
        f.write(text)
    os.chmod(f.name, 0o644)
    os.replace(f.name, path)


def save(name: str, nb: Any) -> None:
    """Write a notebook."""
    nbformat.validate(nb)
    write(BOOKS / f"{name}.ipynb", nbformat.writes(nb) + "\n")


def run(name: str) -> None:
    """Execute one text and write its notebook."""
    from nbclient import NotebookClient

    nb = from_text(name)
    client = NotebookClient(
        nb,
        timeout=1200,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(BOOKS)}},
    )
    client.execute()
    nb.metadata = {k: dict(v) for k, v in METADATA.items()}
    save(name, nb)


def pull(name: str) -> None:
    """Write the text of a notebook that was edited elsewhere."""
    nb = nbformat.read(BOOKS / f"{name}.ipynb", 4)
    nb.cells = [c for c in nb.cells if c.source != setup_cell().source]
    for cell in nb.cells:
        cell.metadata = shorten(cell.metadata)
    nb.metadata = {}
    text = jupytext.writes(nb, fmt="md:myst")
    text = re.sub(r"\A---\n.*?\n---\n+", "", text, flags=re.DOTALL)
    write(TEXT / f"{name}.md", HEADER + text)


def stamp(name: str) -> None:
    """Renew the set-up cell of a notebook; its outputs stay, for that cell prints nothing."""
    nb = nbformat.read(BOOKS / f"{name}.ipynb", 4)
    nb.cells[1].source = setup_cell().source
    name_cells(nb.cells)
    save(name, nb)


def faults(where: str, n: int, cell: Any) -> list[str]:
    """What is wrong with one executed code cell, the n-th of its notebook."""
    out = []
    tags = cell.metadata.get("tags", [])
    if cell.execution_count != n:
        out.append(f"{where}: execution_count {cell.execution_count}: run it top to bottom")
    for o in cell.outputs:
        data = o.get("data", {})
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
        if o.output_type == "stream" and o.name == "stderr":
            out.append(f"{where}: stderr in the outputs: {o.text[:60]!r}")
        if o.output_type == "error" and "raises-exception" not in tags:
            out.append(f"{where}: error {o.ename}")
        if any(k.startswith("image/") for k in data) and not alt:
            out.append(f"{where}: a picture without :alt:")
        if "application/vnd.jupyter.widget-view+json" in data:
            out.append(f"{where}: a widget, which needs another host")
    return out


def problems(name: str) -> list[str]:
    """What is wrong with a committed notebook; nothing is executed."""
    path = BOOKS / f"{name}.ipynb"
    if not path.exists():
        return [f"{path.name}: missing, run tools/nb.py run {name}"]
    want, have = from_text(name), nbformat.read(path, 4)

    def content(nb: Any) -> list[Any]:
        return [(c.id, c.cell_type, c.source, dict(c.metadata)) for c in nb.cells]

    out = []
    if content(want) != content(have):
        out.append(f"{name}: cells differ from manuscript/{name}.md: run tools/nb.py run {name}")
    code = [c for c in have.cells if c.cell_type == "code"]
    for n, cell in enumerate(code, 1):
        out += faults(f"{name} cell {n}", n, cell)
    return out


def main(argv: list[str]) -> int:
    """Run the command line."""
    names = argv[1:] or sorted(p.stem for p in TEXT.glob("*.md"))
    if argv[:1] == ["check"]:
        bad = [p for n in names for p in problems(n)]
        bad += [
            f"{p.name}: no text in manuscript/"
            for p in BOOKS.glob("*.ipynb")
            if not (TEXT / f"{p.stem}.md").exists()
        ]
        print("\n".join(bad) if bad else f"{len(names)} notebooks match their text")
        return bool(bad)
    jobs = {"run": run, "pull": pull, "stamp": stamp}
    if not argv or argv[0] not in jobs:
        print(__doc__, file=sys.stderr)
        return 2
    os.environ.update(ENV)
    for n in names:
        jobs[argv[0]](n)
        print(argv[0], n)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
