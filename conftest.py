"""Make `pytest` and `pytest --nbval chapters/` sound: alike everywhere, offline, with pictures."""

import base64
import importlib.util
import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent


def load(path: str) -> Any:
    """Import one of our tools by its file."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The kernels that nbval starts inherit this. A thread count that the user set stays.
ENV = load("tools/nb.py").ENV
for name, value in ENV.items():
    if name == "CUDA_VISIBLE_DEVICES":
        continue  # below
    if name == "OMP_NUM_THREADS":
        os.environ.setdefault(name, value)
    else:
        os.environ[name] = value
# No test needs the network, and none may find one: neither here nor in a child process.
load("tools/offline/sitecustomize.py")
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT / "tools/offline"), *filter(None, [os.environ.get("PYTHONPATH")])]
)
sys.dont_write_bytecode = True


def pytest_configure(config: pytest.Config) -> None:
    """Notebooks show the same numbers everywhere, so they run on the CPU; unit tests use a GPU."""
    if config.getoption("nbval", default=False):
        os.environ["CUDA_VISIBLE_DEVICES"] = ENV["CUDA_VISIBLE_DEVICES"]


def pictures(outputs: list[Any]) -> list[str]:
    """The PNGs of a cell's outputs."""
    return [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]


def pixels(png: str) -> np.ndarray:
    """A PNG's RGB values, (H, W, 3), 0 to 255."""
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    return np.asarray(image.convert("RGB"), dtype=float)


def difference(old: list[str], new: list[str]) -> str | None:
    """What differs between the stored pictures and the new ones; None when they are the same."""
    if len(old) != len(new):
        return f"{len(old)} pictures in the notebook, {len(new)} now"
    for a, b in zip(map(pixels, old), map(pixels, new), strict=True):
        if a.shape != b.shape:
            return f"a picture of {a.shape} pixels is now {b.shape}"
        if np.abs(a - b).mean() > 0.3:
            return f"a picture differs by {np.abs(a - b).mean():.1f} of 255 on average"
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: Any) -> Any:
    """After nbval has compared a cell's text, compare its pictures, and fail cells never run."""
    result = yield
    if type(item).__name__ == "IPyNbCell" and not item.options["skip"] and item.options["check"]:
        if item.cell.source.strip() and item.cell.execution_count is None:
            item.raise_cell_error("This cell was never run, so nbval compares nothing")
        wrong = difference(pictures(item.cell.outputs), pictures(item.test_outputs))
        if wrong:
            item.raise_cell_error(wrong)
    return result
