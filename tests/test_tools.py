"""The tools that keep text, notebooks, address and machine page true."""

from __future__ import annotations

import ast
import importlib
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (".md", ".py", ".toml", ".yml", ".cff", ".js", ".css", ".ipynb", ".json", ".bib", ".txt", "")
SAMPLE = """---
kernelspec: {display_name: Python 3, language: python, name: python3}
jupytext: {text_representation: {extension: .md, format_name: myst}}
---

# Title

```{code-cell}
:alt: 'A line: rising'
:dark: invert

1 + 1
```

```{code-cell}
:tags: [solution]

2 + 2
```
"""


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of tools/ afresh."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))

    def load(name: str) -> Any:
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    return load


@pytest.fixture
def nb(tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """tools/nb.py over a folder with one small text."""
    module = tool("nb")
    for folder in ("manuscript", "chapters"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(module, "TEXT", tmp_path / "manuscript")
    monkeypatch.setattr(module, "BOOKS", tmp_path / "chapters")
    (tmp_path / "manuscript" / "sample.md").write_text(SAMPLE)
    return module


@pytest.mark.filterwarnings("default")
def test_run_twice_gives_the_same_bytes_and_check_passes(nb: Any) -> None:
    """A notebook does not depend on when it was made."""
    nb.run("sample")
    first = (nb.BOOKS / "sample.ipynb").read_bytes()
    nb.run("sample")
    assert (nb.BOOKS / "sample.ipynb").read_bytes() == first
    assert nb.problems("sample") == []
    notebook = json.loads(first)
    assert notebook["cells"][2]["metadata"]["mystnb"]["image"] == {
        "alt": "A line: rising",
        "classes": "invert-dark",
    }
    assert notebook["cells"][3]["metadata"]["jupyter"] == {"source_hidden": True}
    nb.pull("sample")
    assert nb.from_text("sample").cells == nb.from_text("sample").cells
    assert (nb.TEXT / "sample.md").read_text().rstrip() == SAMPLE.rstrip()


def damage_text(nb: Any) -> None:
    path = nb.TEXT / "sample.md"
    path.write_text(path.read_text().replace("1 + 1", "1 + 2"))


def damage(nb: Any, change: Any) -> None:
    path = nb.BOOKS / "sample.ipynb"
    notebook = json.loads(path.read_text())
    change(notebook["cells"])
    path.write_text(json.dumps(notebook))


DAMAGES = {
    "cells differ": damage_text,
    "top to bottom": lambda nb: damage(nb, lambda c: c[2].update(execution_count=7)),
    "stderr": lambda nb: damage(
        nb,
        lambda c: c[2]["outputs"].append({"output_type": "stream", "name": "stderr", "text": "x"}),
    ),
    "a widget": lambda nb: damage(
        nb,
        lambda c: c[2]["outputs"].append(
            {
                "output_type": "display_data",
                "metadata": {},
                "data": {"application/vnd.jupyter.widget-view+json": {}},
            }
        ),
    ),
    "without :alt:": lambda nb: damage(
        nb,
        lambda c: c[3]["outputs"].append(
            {"output_type": "display_data", "metadata": {}, "data": {"image/png": "AA=="}}
        ),
    ),
    "missing": lambda nb: (nb.BOOKS / "sample.ipynb").unlink(),
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("words", DAMAGES)
def test_check_finds_a_damaged_notebook(nb: Any, words: str) -> None:
    """Each kind of damage is named."""
    nb.run("sample")
    DAMAGES[words](nb)
    assert any(words in p for p in nb.problems("sample"))


def test_unknown_cell_option_is_an_error(nb: Any) -> None:
    """A misspelt option would be lost in silence."""
    path = nb.TEXT / "sample.md"
    path.write_text(path.read_text().replace(":dark:", ":drak:"))
    with pytest.raises(ValueError, match=r"unknown cell options \['drak'\]"):
        nb.from_text("sample")


def tracked() -> list[Path]:
    """The files that git knows, or all that would be copied where there is no git."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / line for line in done.stdout.splitlines()]
    return [p for p in paths if p.suffix in TEXT and p.is_file()]


def test_no_stray_copy_of_the_address(tool: Any) -> None:
    """`make address` reaches every file that names the repository."""
    nb, address = tool("nb"), tool("address")
    known = {ROOT / p for p in address.PLACES} | set(nb.BOOKS.glob("*.ipynb"))
    slug = address.slug(nb.address())
    strays = [p for p in tracked() if p not in known and slug in p.read_text(encoding="utf-8")]
    assert strays == []
    for path in nb.BOOKS.glob("*.ipynb"):
        assert f"git+{nb.address()}" in path.read_text(encoding="utf-8")


def test_address_stamps_everything(tool: Any, tmp_path: Path) -> None:
    """In a copy of the checkout, nothing of the old address is left, and nothing else changed."""
    for path in tracked():
        to = tmp_path / path.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    nb, address = tool("nb"), tool("address")
    old, new = nb.address(), "https://example.org/somebody/their-book"
    command = [sys.executable, "tools/address.py"]
    subprocess.run([*command, new + ".git/"], cwd=tmp_path, check=True, capture_output=True)
    for path in tracked():
        before = path.read_text(encoding="utf-8")
        after = (tmp_path / path.relative_to(ROOT)).read_text(encoding="utf-8")
        if path.suffix != ".ipynb":
            assert after == address.restamp(before, old, new), path
        assert address.slug(old) not in after, path
    done = subprocess.run(
        [sys.executable, "tools/nb.py", "check"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    wrong = subprocess.run([*command, "their-book"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "expected https://host/owner/repository" in wrong.stderr


@pytest.mark.parametrize("name", ["acme/x", "me/x-zh", "x/me"])
def test_restamp_writes_an_address_once(tool: Any, name: str) -> None:
    """Also where the new address contains the old one, and on a text that is stamped already."""
    restamp = tool("address").restamp
    old, new = "https://github.com/me/x", f"https://github.com/{name}"
    text = "git+{0}, ({0}). https://colab/github/{1}/blob, some/me/x2 and acme/x.md"
    stamped = restamp(text.format(old, "me/x"), old, new)
    assert stamped == text.format(new, name)
    assert restamp(stamped, old, new) == stamped


def test_an_interrupted_address_can_be_repeated(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old address stays in _config.yml until all other files have the new one."""
    nb, address = tool("nb"), tool("address")
    old, new = "https://github.com/me/x", "https://github.com/me/x-zh"
    for name in address.PLACES:
        (tmp_path / name).write_text(f"repository:\n  url: {old}\n")
    for module, name in ((nb, "ROOT"), (nb, "BOOKS"), (address, "ROOT")):
        monkeypatch.setattr(module, name, tmp_path)
    whole, written = nb.write, []

    def killed(path: Path, text: str) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        whole(path, text)

    monkeypatch.setattr(nb, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        address.main([new])
    monkeypatch.setattr(nb, "write", whole)
    assert address.main([new]) == 0
    for name in address.PLACES:
        assert (tmp_path / name).read_text() == f"repository:\n  url: {new}\n", name


def test_machine_page_says_what_the_record_says(tool: Any) -> None:
    """Nobody typed into it."""
    assert tool("machine").main(["check"]) == 0


@pytest.mark.parametrize(("total", "beside"), [(30.3, False), (21.0, True)])
def test_machine_page_says_what_ran_side_by_side(tool: Any, total: float, beside: bool) -> None:
    """Only where the steps took more seconds than the clock; a record may have fewer steps."""
    machine = tool("machine")
    record = json.loads(machine.KEPT.read_text())
    record |= {"seconds": {"unit": 10.0, "nbval": 20.0}, "total": total}
    page = machine.render(record)
    assert ("count in both lines" in page) == beside
    assert "\n\n\n" not in page
    last = "\n\nTimes on your machine will differ. The outputs may not: the tests compare them.\n\n"
    assert last in page


def test_machine_page_lists_every_record_with_its_command(tool: Any) -> None:
    """One row each; the run of the tests has its own table."""
    machine = tool("machine")
    names = {p.stem for p in machine.KEPT.parent.glob("*.json")} - {"test-run"}
    rows = machine.records().splitlines()
    assert {row.split("**")[1] for row in rows} == names
    assert all(re.search(r"`(python|torchrun) .*benchmarks/.*`$", row) for row in rows)


def test_machine_page_knows_every_step(tool: Any) -> None:
    """A record of today's steps can be shown, in their order."""
    assert list(tool("machine").WHAT) == list(tool("check").STEPS)


@pytest.fixture
def check(tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The runner of all steps, with steps of our own."""
    module = tool("check")
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    monkeypatch.setattr(module, "RECORD", tmp_path / "record.json")
    workers = "import os; print('workers', os.environ.get('PYTEST_XDIST_AUTO_NUM_WORKERS'))"
    steps = {
        "lint": "print('linted')",
        "unit": f"{workers}; import time; time.sleep(1.5)",
        "nbval": "import time; time.sleep(1.5); print('executed')",
        "book": "print('built')",
    }
    python = Path(sys.executable).name
    monkeypatch.setattr(module, "BIN", Path(sys.executable).parent)
    monkeypatch.setattr(module, "STEPS", {k: [python, "-c", v] for k, v in steps.items()})
    return module


@pytest.mark.parametrize("cores", [1, 4])
def test_notebooks_run_beside_the_unit_tests(
    check: Any, cores: int, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more than one core; the words of each step stay together."""
    monkeypatch.setattr(check, "cores", lambda: cores)
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert check.main([]) == 0
    said = capfd.readouterr().out
    found = [said.index(word) for word in ("linted", "workers", "executed", "built", "== seconds")]
    assert found == sorted(found)
    assert f"workers {'3' if cores == 4 else None}" in said
    record = json.loads(check.RECORD.read_text())
    assert list(record["seconds"]) == ["lint", "unit", "nbval", "book"]
    both = record["seconds"]["unit"] + record["seconds"]["nbval"]
    assert (record["total"] < both) == (cores == 4)


@pytest.mark.parametrize("broken", ["lint", "unit", "nbval", "book"])
def test_any_failed_step_fails_the_run(
    check: Any, broken: str, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others run all the same, and no record is left."""
    monkeypatch.setattr(check, "cores", lambda: 2)
    check.STEPS[broken][-1] += "; raise SystemExit('broken here')"
    assert check.main([]) == 1
    said = capfd.readouterr()
    assert "broken here" in said.out + said.err
    assert said.err.splitlines()[-1] == f"failed: {broken}"
    assert all(word in said.out for word in ("linted", "workers", "executed", "built"))
    assert not check.RECORD.exists()
    assert check.main(["lint" if broken == "book" else "book"]) == 0
    assert not check.RECORD.exists()  # only all steps together leave one


def test_a_step_that_was_not_run_is_neither_passed_nor_failed(
    check: Any, tool: Any, capfd: pytest.CaptureFixture
) -> None:
    """The run goes on and ends well, but leaves no record of a full run."""
    assert check.NOT_RUN == tool("browser").NOT_RUN
    for name in ("unit", "nbval"):
        check.STEPS.pop(name)
    check.STEPS["browser"] = [*check.STEPS["book"][:2], f"raise SystemExit({check.NOT_RUN})"]
    assert check.main([]) == 0
    said = capfd.readouterr()
    assert re.search(r"^book .* passed$", said.out, re.MULTILINE)
    assert re.search(r"^browser .* NOT RUN$", said.out, re.MULTILINE)
    assert said.err == ""
    assert not check.RECORD.exists()


def test_the_words_of_a_step_pass_as_bytes(
    check: Any, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A screen that cannot show a letter does not end the run."""
    check.STEPS["unit"][-1] = "pass"
    check.STEPS["nbval"][-1] = r"import sys; sys.stdout.buffer.write(b'\xe2\x9c\x93 caf\xe9')"
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding="cp1252"))
    assert [step.code for step in check.run_both("unit", "nbval")] == [0, 0]
    said = screen.getvalue()
    assert said.endswith(b"\xe2\x9c\x93 caf\xe9")
    assert said.startswith((b"\n== unit:", b"\r\n== unit:"))


@pytest.mark.parametrize(
    ("usable", "physical", "expected"), [(4, 4, 3), (8, 4, 4), (2, 32, 1), (4, None, 3)]
)
def test_workers_beside_the_notebooks(
    check: Any, usable: int, physical: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One usable core stays free, and hardware threads of one core count once, as in xdist."""
    monkeypatch.setattr(check.os, "sched_getaffinity", lambda _: set(range(usable)), raising=False)
    counter = SimpleNamespace(cpu_count=lambda logical=True: physical)
    monkeypatch.setitem(sys.modules, "psutil", counter)
    assert check.workers() == expected


@pytest.mark.parametrize("tools", [[], ["apt-get"], ["apt-get", "sudo"]])
def test_without_a_browser_nothing_is_said_to_have_run(
    tool: Any, tools: list[str], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No apt, no sudo, or no leave to install: one answer."""
    browser = tool("browser")
    ran = []

    def refuse(command: list[str], **_: Any) -> SimpleNamespace:
        if command[0] not in tools and Path(command[0]).name not in tools:
            raise FileNotFoundError(command[0])
        ran.append(command)
        return SimpleNamespace(returncode=1)

    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(browser, "PLACES", [])
    monkeypatch.setattr(browser.shutil, "which", lambda w: f"/bin/{w}" if w in tools else None)
    monkeypatch.setattr(browser.os, "geteuid", lambda: 1000, raising=False)
    monkeypatch.setattr(browser.subprocess, "run", refuse)
    assert browser.main(["pytest"]) == browser.NOT_RUN
    assert "NOT RUN" in capsys.readouterr().out
    assert [c[0] for c in ran] == (["sudo"] * 2 if "sudo" in tools else [])


@pytest.mark.parametrize("codes", [[-11, 0], [0, -11], [1, 0], [0, 0]])
def test_oldest_fails_when_either_step_fails(
    tool: Any, codes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when a signal ended it: its code is below 0. The second step runs all the same."""
    oldest = tool("oldest")
    left = [0, *codes]
    ended = lambda *_, **__: SimpleNamespace(returncode=left.pop(0))  # noqa: E731
    monkeypatch.setattr(oldest.subprocess, "run", ended)
    assert oldest.main() == int(any(codes))
    assert left == []


@pytest.fixture
def setup_env(tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """tools/setup_env.py in a folder with a .venv; commands are noted, not run."""
    module = tool("setup_env")
    module.commands = []

    def note(command: list[str]) -> None:
        module.commands.append(command)
        (tmp_path / ".venv").mkdir(exist_ok=True)

    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "pyvenv.cfg").touch()
    (tmp_path / ".venv" / "old").touch()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "run", note)
    monkeypatch.setattr(module, "check_machine", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["setup_env.py"])
    return module


@pytest.mark.parametrize("uv", [None, "/bin/uv"])
@pytest.mark.parametrize("state", ["no python", "a python that fails", "works"])
def test_a_half_made_environment_is_made_again(
    setup_env: Any, uv: str | None, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What works is kept."""
    venv = tmp_path / ".venv"
    python = venv / ("Scripts/python.exe" if setup_env.os.name == "nt" else "bin/python")
    monkeypatch.setattr(setup_env.shutil, "which", lambda _: uv)
    if state != "no python":
        python.parent.mkdir()
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    if state == "works":
        monkeypatch.setattr(setup_env, "works", lambda *_: True)
    setup_env.main()
    made = [c for c in setup_env.commands if "venv" in c]
    assert len(made) == (state != "works")
    assert (venv / "old").exists() == (state == "works")
    assert "install" in setup_env.commands[-1]
    assert (venv / ".installed").exists()


def test_setup_removes_no_folder_that_is_not_its_own(setup_env: Any, tmp_path: Path) -> None:
    """A wrong --venv costs nobody their files."""
    (tmp_path / ".venv" / "pyvenv.cfg").unlink()
    with pytest.raises(SystemExit, match="is no environment"):
        setup_env.main()
    assert (tmp_path / ".venv" / "old").exists()
    assert setup_env.commands == []


def test_setup_knows_a_python_that_works(tool: Any, tmp_path: Path) -> None:
    """By running it."""
    works = tool("setup_env").works
    assert works(Path(sys.executable), "-c", "")
    assert not works(Path(sys.executable), "-c", "1 / 0")
    assert not works(tmp_path / "python", "-c", "")


def test_the_version_is_the_same_everywhere() -> None:
    """cnnlib says it, in words that setuptools reads without importing; CITATION.cff repeats it."""
    tree = ast.parse((ROOT / "cnnlib" / "__init__.py").read_text(encoding="utf-8"))
    said = [ast.unparse(n.value) for n in tree.body if ast.unparse(n).startswith("__version__ =")]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [*map(ast.literal_eval, said)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "cnnlib.__version__"}


def test_no_connection_leaves_this_machine() -> None:
    """The guard is in place here and in child processes."""
    with pytest.raises(OSError, match="without a network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(OSError, match="without a network"):
        socket.getaddrinfo("example.org", 80)
    code = "import urllib.request as u; u.urlopen('http://example.org', timeout=1)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "the tests run without a network" in child.stderr


def test_constraints_pin_what_the_project_asks_for() -> None:
    """Plain name==version lines, with every direct dependency among them and no address."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[\w.!+-]+", line) for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(w for extra in extras for w in extra)]
    names = {re.split(r"[<>=~!\[]", w)[0].lower() for w in wanted}
    assert names <= pinned


def test_files_name_no_machine_and_leave_nothing_undone() -> None:
    """No path of somebody's machine, no marker of unfinished work (pictures are letters too)."""
    bad = re.compile(r"/(?:home|Users|root)/\w+|\b(?:TODO|FIX" r"ME|XX" r"X)\b")
    found = {
        str(p.relative_to(ROOT)): m.group()
        for p in tracked()
        if p != Path(__file__).resolve()
        and p.suffix != ".ipynb"
        and (m := bad.search(p.read_text(encoding="utf-8")))
    }
    assert found == {}
