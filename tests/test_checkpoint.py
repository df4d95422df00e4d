"""Checkpoints: whole or absent, refused when foreign, and a killed training ends as if unharmed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from killed_training import CONFIG, Noisy, network, training
from torch import nn
from torch.utils.data import DataLoader

from cnnlib.pytorch import checkpoint, data, random_state
from cnnlib.pytorch.train import TrainConfig, fit

PROGRAM = Path(__file__).with_name("killed_training.py")
KILLED = -signal.SIGKILL if hasattr(signal, "SIGKILL") else 9


def bits(model):
    return checkpoint.weights_bytes(model)


def rows(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


def same_file(one, other):
    """Whether two checkpoints hold the same to the bit, but for the seconds."""
    a, b = checkpoint.load(one), checkpoint.load(other)
    for state in (a, b):
        for row in state["history"]:
            del row["seconds"]
    return repr(sorted(a)) == repr(sorted(b)) and equal(a, b)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The training that nobody interrupts."""
    folder, model = tmp_path_factory.mktemp("whole"), network()
    history = training(folder, model)
    return folder, bits(model), rows(history)


# Six batches an epoch; an epoch writes last.pt and, where it is the best, best.safetensors. Each
# training goes on from where the one before was killed.
CHAINS = [
    ["batch:3", "writing:1", "renamed:1", "batch:10", "named:3"],
    ["named:1", "renamed:2", "writing:2", "named:2", "renamed:3", "batch:1"],
]


@pytest.mark.slow
@pytest.mark.parametrize("chain", CHAINS, ids=["a", "b"])
def test_killed_anywhere_and_resumed_ends_bit_for_bit_the_same(chain, whole, tmp_path):
    folder, weights, history = whole
    result = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), *chain],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    seen = [line.split() for line in result.stdout.splitlines()]
    assert [(point, int(status)) for point, status, _ in seen] == [(p, KILLED) for p in chain]
    epochs = [int(epoch) for *_, epoch in seen]
    assert epochs == sorted(epochs)
    assert epochs[-1] >= 2
    model = network()
    assert rows(training(tmp_path, model)) == history
    assert bits(model) == weights
    best = "best.safetensors"
    assert (tmp_path / best).read_bytes() == (folder / best).read_bytes()
    assert same_file(tmp_path / "last.pt", folder / "last.pt")


@pytest.mark.slow
def test_killed_from_outside_at_any_time(whole, tmp_path):
    _, weights, history = whole
    process = subprocess.Popen([sys.executable, str(PROGRAM), "--victim", str(tmp_path), "never"])
    while process.poll() is None and not any(tmp_path.iterdir()):
        time.sleep(0.005)
    time.sleep(0.03)
    process.kill()
    process.wait(60)
    model = network()
    assert rows(training(tmp_path, model)) == history
    assert bits(model) == weights


def test_other_noise_would_be_noticed(whole, tmp_path):
    """The comparison above can fail: one number drawn in between changes the end."""
    folder, weights, _ = whole
    for wrong in ("random", "numpy", "torch"):
        state = checkpoint.load(folder / "last.pt")
        part = tmp_path / wrong
        copies = CopyAt(2, part, part / "copy")
        training(part, network(), on_epoch_end=copies)
        state = checkpoint.load(part / "copy" / "last.pt")
        assert state["epoch"] == 2
        with random_state.unchanged_random_state():
            random_state.set_random_state(state["random"][0])
            {"random": random.random, "numpy": np.random.rand, "torch": torch.rand}[wrong](
                *([1] if wrong == "torch" else [])
            )
            state["random"] = [random_state.random_state()]
        checkpoint.save(state, part / "copy" / "last.pt")
        model = network()
        training(part / "copy", model)
        assert bits(model) != weights


class CopyAt:
    """Copies the folder as it is after an epoch: what a kill would have left."""

    def __init__(self, epoch, source, target):
        self.epoch, self.source, self.target = epoch, source, target

    def __call__(self, row):
        torch.rand(3)  # a callback that draws must not disturb the training
        if row["epoch"] == self.epoch:
            shutil.copytree(self.source, self.target)


KINDS = {
    "adamw, plateau, bf16": {
        "optimizer": "adamw", "lr": 0.02, "schedule": "plateau", "plateau_patience": 0,
        "min_delta": 10.0, "precision": "bf16",
    },
    "adam, step, fp16": {"optimizer": "adam", "lr": 0.02, "schedule": "step", "step_size": 2,
                         "gamma": 0.5, "precision": "fp16"},
    "patience runs over the kill": {"lr": 1e-9, "patience": 3, "monitor": "accuracy"},
    "best before the kill": {"lr": 0.5, "restore_best": True},
    "channels last": {"channels_last": True, "accumulate": 3, "clip_norm": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loader", ["torch", "cnnlib"])
def test_every_part_of_the_state_is_taken_up_again(kind, loader, tmp_path):
    config = TrainConfig(**{"epochs": 5, "momentum": 0.9, **KINDS[kind]})

    def train(folder, model, **options):
        torch.rand(random.randrange(9))  # what was drawn before does not matter
        if loader == "torch":
            batches = DataLoader(Noisy(0.3), 7, shuffle=True)
        else:
            batches = data.loader(Noisy(0.3), 7, shuffle=True)
        val = DataLoader(Noisy(0.0), 16)
        options = {"resume": True, "progress": False, "device": "cpu", **options}
        return fit(model, batches, val, config, folder=folder, **options)

    whole, resumed = network(), network()
    callback = CopyAt(2, tmp_path / "a", tmp_path / "b")
    history = train(tmp_path / "a", whole, on_epoch_end=callback)
    again = train(tmp_path / "b", resumed)
    assert rows(again) == rows(history)
    assert again.stopped_early == history.stopped_early == (config.patience is not None)
    assert bits(resumed) == bits(whole)
    assert same_file(tmp_path / "a" / "last.pt", tmp_path / "b" / "last.pt")


def test_killed_between_the_two_files_the_best_one_is_written_again(tmp_path):
    config = TrainConfig(epochs=3, lr=0.05, min_delta=10.0)  # the first epoch stays the best
    for folder in ("a", "b"):
        fit(
            network(), DataLoader(Noisy(0.3), 7, shuffle=True), DataLoader(Noisy(0.0), 16), config,
            folder=tmp_path / folder, resume=True, device="cpu", progress=False,
            on_epoch_end=CopyAt(1, tmp_path / "a", tmp_path / "b") if folder == "a" else None,
        )  # fmt: skip
        if folder == "a":
            (tmp_path / "b" / "best.safetensors").unlink()
    best = [(tmp_path / folder / "best.safetensors").read_bytes() for folder in "ab"]
    assert best[0] == best[1]
    assert checkpoint.load(tmp_path / "a" / "last.pt")["best"]["epoch"] == 1


def test_a_finished_training_is_not_trained_further(whole, tmp_path):
    folder, weights, history = whole
    model = network()
    shutil.copytree(folder, tmp_path / "copy")
    assert rows(training(tmp_path / "copy", model)) == history
    assert bits(model) == weights
    assert not model.training


def test_the_file_holds_what_the_documentation_says(whole):
    folder, _, history = whole
    state = checkpoint.load(folder / "last.pt")
    assert state["config"] == CONFIG.to_dict()
    assert state["epoch"] == 5 == len(state["history"])
    assert {"model", "optimizer", "schedule", "scaler", "best", "random"} <= set(state)
    assert state["best"]["value"] == min(row["val_loss"] for row in history)
    assert set(state["random"][0]) == {"python", "numpy", "torch", "cuda"}
    model = network()
    checkpoint.load_weights(model, folder / "last.pt")
    assert torch.equal(model[0].weight, state["model"]["0.weight"])


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    checkpoint.save({"n": 1}, path)

    def disk_full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save({"n": 2}, path)
    assert checkpoint.load(path) == {"n": 1}
    assert os.listdir(tmp_path) == ["a.pt"]


def test_the_content_reaches_the_disk_before_the_name(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(checkpoint.os, "fsync", lambda f: (done.append("fsync"), fsync(f)))
    monkeypatch.setattr(
        checkpoint.os, "replace", lambda a, b: (done.append("replace"), replace(a, b))
    )
    checkpoint.save({}, tmp_path / "a.pt")
    assert done[:2] == ["fsync", "replace"]


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("should-never-exist",))


def test_foreign_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "last.pt"
    with pytest.raises(ValueError, match=r"there is no file .*last\.pt"):
        checkpoint.load(path)
    checkpoint.save({"a": torch.zeros(1000)}, path)
    good = path.read_bytes()
    for damaged in (b"", b"not a file of torch", good[: len(good) // 2], good[:-30], good[200:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"last\.pt is damaged or not a checkpoint"):
            checkpoint.load(path)
    torch.save({"model": {}}, path)
    with pytest.raises(ValueError, match=r"last\.pt was not written by cnnlib"):
        checkpoint.load(path)
    torch.save({"format": checkpoint.FORMAT, "x": Evil()}, path)
    with pytest.raises(ValueError, match=r"last\.pt is damaged or not a checkpoint"):
        checkpoint.load(path)
    assert not Path("should-never-exist").exists()
    checkpoint.save({"model": {}}, path)
    with pytest.raises(ValueError, match="is no checkpoint of a training: no best in it"):
        training(tmp_path, network())


def test_another_training_is_refused_and_nothing_is_changed(whole, tmp_path):
    folder, _, _ = whole
    shutil.copytree(folder, tmp_path / "a")

    def resume(model, size=40, config=CONFIG, resume=True, **options):
        loader = DataLoader(torch.utils.data.Subset(Noisy(0.3), range(size)), 7, shuffle=True)
        fit(model, loader, DataLoader(Noisy(0), 16), config, folder=tmp_path / "a", device="cpu",
            resume=resume, progress=False, **options)  # fmt: skip

    model = network()
    before = bits(model)
    options = CONFIG.to_dict()
    with pytest.raises(ValueError, match=r"another training: epochs was 5, is 6; lr was 0\.05, is"):
        resume(model, config=TrainConfig.from_dict({**options, "epochs": 6, "lr": 0.1}))
    with pytest.raises(ValueError, match="another training: examples was 40, is 39"):
        resume(model, size=39)
    with pytest.raises(ValueError, match=r"another training: rates was \[0\.05\], is \[0\.01\]"):
        resume(model, parameters=[{"params": model.parameters(), "lr": 0.01}])
    with pytest.raises(ValueError, match=r"holds a training already: resume it, or choose another"):
        resume(model, resume=False)
    assert bits(model) == before
    wider = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))
    message = r"another model: 0\.weight is \(3, 1, 3, 3\) in the file, \(4, 1, 3, 3\) here; .*more"
    with pytest.raises(ValueError, match=message):
        resume(wider)
    with pytest.raises(ValueError, match="resume needs the folder"):
        fit(model, DataLoader(Noisy(0), 8), resume=True, progress=False)
    assert same_file(folder / "last.pt", tmp_path / "a" / "last.pt")


def test_weights_go_through_safetensors_and_back(tmp_path):
    model, other = network(), network()
    model[1](torch.randn(4, 3, 5, 5))  # running statistics of its own
    nn.init.normal_(model[5].weight)
    path = tmp_path / "deep" / "w.safetensors"
    checkpoint.save_weights(model, path, metadata={"classes": "no yes"})
    assert checkpoint.load_weights(other, path) == {"classes": "no yes"}
    assert bits(other) == bits(model)
    assert path.read_bytes() == checkpoint.weights_bytes(model, metadata={"classes": "no yes"})
    checkpoint.save_weights(model, path, dtype=torch.float16)
    stored = safetensors.torch.load_file(path)
    assert stored["5.weight"].dtype == torch.float16
    assert stored["1.num_batches_tracked"].dtype == torch.int64
    assert checkpoint.load_weights(other, path) == {}
    assert other[5].weight.dtype == torch.float32
    assert torch.equal(other[5].weight, model[5].weight.half().float())


def test_tied_and_channels_last_weights_can_be_saved(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Conv2d(2, 2, 3))
    model[1].weight = model[0].weight
    model.to(memory_format=torch.channels_last)
    checkpoint.save_weights(model, tmp_path / "w.safetensors")
    other = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Conv2d(2, 2, 3))
    checkpoint.load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other[1].weight, model[0].weight)
    assert torch.equal(other[2].weight, model[2].weight)


def test_wrong_weight_files_are_refused(tmp_path):
    path, model = tmp_path / "w.safetensors", network()
    with pytest.raises(ValueError, match=r"there is no file .*w\.safetensors"):
        checkpoint.load_weights(model, path)
    checkpoint.save_weights(model, path)
    good = path.read_bytes()
    for damaged in (b"", good[:20], good[:-4], b"\xff" * 64):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"w\.safetensors is damaged or not a safetensors"):
            checkpoint.load_weights(model, path)
    other = nn.Sequential(*list(network())[:-1], nn.Linear(48, 5))
    checkpoint.save_weights(other, path)
    before = bits(model)
    with pytest.raises(ValueError, match=r"5\.weight is \(5, 48\) in the file, \(2, 48\) here"):
        checkpoint.load_weights(model, path)
    assert bits(model) == before
    checkpoint.save_weights(network()[:3], path)
    with pytest.raises(ValueError, match=r"5\.weight is missing in the file"):
        checkpoint.load_weights(model, path)
