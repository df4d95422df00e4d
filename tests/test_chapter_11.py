"""Chapter 11's full tier: code and command agree, and the cells run on a fake VGG16."""

import ast
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import cnnlib
from cnnlib._cli import main, training
from cnnlib.pytorch import data, finetune, pretrained
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


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """Weights of VGG16's names and shapes where torch looks for them, each one number repeated."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    with torch.device("meta"):
        shapes = torchvision.models.vgg16(weights=None, init_weights=False).state_dict()
    state = {k: torch.full((1,), 0.001).expand(v.shape) for k, v in shapes.items()}
    torch.save(state, folder / "vgg16-397923af.pth")


@pytest.mark.slow
@pytest.mark.usefixtures("imagenet")
def test_the_cell_for_vgg16_runs(tmp_path):
    """On ten photographs, one epoch, in float32: this machine has no fast bfloat16."""
    rng = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            pixels = rng.integers(0, 128, (40, 60, 3)) + 127 * (name == "light")
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(tmp_path / "photos" / name / f"{i}.png")
    quick = {"workers": 0, "device": "cpu", "progress": False}
    given = []

    def fine_tune(*args, **options):
        given.append({k: v.clone() for k, v in args[0].state_dict().items()})
        return finetune.fine_tune(*args, **{**options, **quick})

    (cell,) = [c for c in CELLS if "def tune_vgg16" in c]
    names = {
        "pretrained": pretrained,
        "data": data,
        "finetune": SimpleNamespace(replace_head=finetune.replace_head, fine_tune=fine_tune),
        "TrainConfig": lambda **options: TrainConfig(**{**options, "precision": "fp32"}),
    }
    exec(cell, names)
    model, history = names["tune_vgg16"](tmp_path / "photos", epochs=1)
    assert len(history) == 1
    (before,) = given
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    late = {name for name, _ in finetune.stage_parameters(model, "block5")}
    assert late < moved
    assert moved == late | {name for name, _ in finetune.stage_parameters(model, "head")}


@pytest.mark.slow
@pytest.mark.usefixtures("imagenet")
def test_the_cell_that_asks_vgg16_runs(monkeypatch, capsys):
    monkeypatch.setattr(cnnlib, "scale", lambda: "full")
    photos = {name: cnnlib.datasets.photograph(name) for name in cnnlib.datasets.PHOTOGRAPHS}
    squares = [torch.from_numpy(p).permute(2, 0, 1) for p in photos.values()]
    (cell,) = [c for c in CELLS if 'pretrained.load("vgg16")' in c]
    cell = re.sub(r"^:.*\n", "", cell, flags=re.MULTILINE)
    exec(cell, {"cnnlib": cnnlib, "pretrained": pretrained, "torch": torch,
                "squares": squares, "photos": photos})  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(photos)
    assert all(len(ast.literal_eval(line.split(maxsplit=1)[1])) == 5 for line in lines)
