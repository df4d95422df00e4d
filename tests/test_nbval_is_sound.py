"""`pytest --nbval` with our conftest sees what nbval alone would miss."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
PICTURE = "import matplotlib.pyplot as plt\nplt.figure(figsize=(2, 1))\nplt.plot({})\nplt.show()"

pytestmark = pytest.mark.slow


def executed(sources: list[str]) -> Any:
    """A notebook with outputs."""
    from nbclient import NotebookClient

    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    NotebookClient(nb, kernel_name="python3").execute()
    return nb


def nbval(nb: Any, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run nbval as a user would, with our conftest."""
    nbformat.write(nb, folder / "case.ipynb")
    for name in ("conftest.py", "pyproject.toml"):
        (folder / name).write_text(
            (ROOT / name).read_text().replace("tests/nbval.cfg", "nbval.cfg")
        )
    (folder / "nbval.cfg").write_text((ROOT / "tests/nbval.cfg").read_text())
    (folder / "tools").symlink_to(ROOT / "tools")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "case.ipynb",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)


@pytest.mark.filterwarnings("default")
def test_a_sound_notebook_passes(tmp_path: Path) -> None:
    """Text and picture come out as stored."""
    done = nbval(executed(["print(1 + 1)", PICTURE.format("[1, 2]")]), tmp_path)
    assert done.returncode == 0, done.stdout


def other_picture(nb: Any) -> None:
    nb.cells[1].source = PICTURE.format("[2, 1]")


def other_text(nb: Any) -> None:
    nb.cells[0].source = "print(3)"


def never_run(nb: Any) -> None:
    nb.cells[0].update(execution_count=None, outputs=[])


def online(nb: Any) -> None:
    nb.cells[0].source = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (other_picture, "a picture differs"),
        (other_text, "mismatch"),
        (never_run, "never run"),
        (online, "without a network"),
    ],
)
def test_a_damaged_notebook_fails(damage: Any, words: str, tmp_path: Path) -> None:
    """Each kind of damage is seen and named."""
    nb = executed(["print(1 + 1)", PICTURE.format("[1, 2]")])
    damage(nb)
    done = nbval(nb, tmp_path)
    assert done.returncode == 1
    assert words in done.stdout
