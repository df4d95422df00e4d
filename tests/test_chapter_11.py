"""Chapter 11's recipe for VGG16 stands there twice, as code and as a command: they must agree."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from cnnlib._cli import main, training
from cnnlib.pytorch.train import TrainConfig

TEXT = (Path(__file__).resolve().parents[1] / "manuscript/11_finetuning_vgg.md").read_text(
    encoding="utf-8"
)
CELLS = re.findall(r"```\{code-cell\}[^\n]*\n(.*?)```", TEXT, re.DOTALL)


def call(tree, name):
    """Keywords of the first call of a function, as far as they are plain values."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(name):
            given = [k for k in node.keywords if isinstance(k.value, ast.Constant)]
            return {k.arg: k.value.value for k in given}
    raise AssertionError(f"no call of {name}")


@pytest.fixture
def command(monkeypatch):
    """What the printed command asks for: its options and its TrainConfig."""
    (cell,) = [c for c in CELLS if "python -m cnnlib finetune" in c]
    lines = re.findall(r'print\(f?"(.*?)"\)', cell)
    words = shlex.split(" ".join(line.replace("\\\\", "") for line in lines))
    caught = []
    monkeypatch.setattr(training, "finetune_", lambda *given: caught.append(given))
    assert main([word.replace("{folder}", "FOLDER") for word in words[3:]]) == 0
    return caught[0]


def test_the_command_does_what_the_cell_does(command):
    options, config = command
    (cell,) = [c for c in CELLS if "def tune_vgg16" in c]
    tree = ast.parse(cell)
    wanted = TrainConfig(epochs=10, **call(tree, "TrainConfig"))
    assert config == wanted
    assert 'method="partial", epochs=10' in cell
    assert '"last": last, "workers": 8' in cell
    assert "last = 1 if method" in cell
    (new,) = re.findall(r"new = (\{.*?\})", cell)
    for name, value in ast.literal_eval(new).items():
        assert options[name] == value
    assert (options["method"], options["last"], options["workers"]) == ("partial", 1, 8)
    assert (options["base"], options["val_share"], options["test_share"]) == ("vgg16", 0.2, 0.0)
    assert options["flip"] is call(tree, "train_transform")["flip"]
    assert (options["decay"], options["crop"]) == (1.0, 0.35)  # the functions' own defaults
