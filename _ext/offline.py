"""Make the built folder whole: MathJax out of a PyPI package, and a front page at index.html."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

PARTS = ["tex-chtml.js", "input/tex/extensions", "output/chtml/fonts"]


def copy(app: Any, error: Exception | None) -> None:
    """Put MathJax under _static."""
    if error or app.builder.format != "html":
        return
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent / "static" / "mathjax"
    for part in PARTS:
        to = Path(app.outdir) / "_static" / "mathjax" / part
        to.parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, to, dirs_exist_ok=True)
        else:
            shutil.copy(source / part, to)


def front(app: Any, error: Exception | None) -> None:
    """Put the first page at index.html: a redirect would flash, and shows nothing to a robot."""
    root = Path(app.outdir) / f"{app.config.root_doc}.html"
    if not error and app.builder.format == "html" and root.exists():
        shutil.copy(root, root.with_name("index.html"))


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("build-finished", copy)
    app.connect("build-finished", front)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
