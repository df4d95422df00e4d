"""Make the built folder whole and light: MathJax, a front page at index.html, smaller pictures."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

PARTS = ["tex-chtml.js", "input/tex/extensions", "output/chtml/fonts"]
LARGE = 60_000  # bytes of a picture from which on it is worth while


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


def lighten(app: Any, error: Exception | None) -> None:
    """Write large opaque pictures without the transparency that matplotlib gives them all.

    No pixel changes; a photograph gets a tenth smaller.
    """
    if error or app.builder.format != "html":
        return
    for file in (Path(app.outdir) / "_images").glob("*.png"):
        if file.stat().st_size > LARGE:
            with Image.open(file) as picture:
                opaque = picture.mode == "RGBA" and picture.getextrema()[3] == (255, 255)
                bare = picture.convert("RGB") if opaque else None
            if bare is not None:
                bare.save(file, optimize=True)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.connect("build-finished", copy)
    app.connect("build-finished", front)
    app.connect("build-finished", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
