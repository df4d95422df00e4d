"""Chapter 11's benchmark: a tiny run, its arithmetic, and the record that the chapter shows."""

from __future__ import annotations

import importlib
import importlib.util
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import cnnlib
from cnnlib.pytorch import checkpoint, models, pretrained

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "data" / "measured" / "finetune.json"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # it imports its neighbour
    spec = importlib.util.spec_from_file_location("curve", ROOT / "benchmarks/finetune_curve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def _weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = models.build("small_vgg", classes=10)
    checkpoint.save_weights(model, tmp_path / f"{pretrained.SMALL_VGG}.safetensors")
    monkeypatch.setattr(pretrained, "PLACES", (tmp_path,))


def test_margin_and_spread(script: Any) -> None:
    """The gap is between means, the margin between the worst of one and the best of the other."""
    results = {"5": {"scratch": [0.2, 0.3, 0.4], "probe": [0.5], "full": [0.6, 0.5, 0.7]}}
    assert script.summary(results) == {
        "5": {
            "scratch": {"mean": 0.3, "std": 0.1},
            "full": {"mean": 0.6, "std": 0.1},
            "gap": 0.3,
            "margin": 0.1,
        }
    }
    assert script.band([0.5, 0.03, 0.97]) == [0.0, 1.0]
    assert script.band([0.5, 0.6]) == [0.44, 0.66]


@pytest.mark.usefixtures("_weights")
def test_a_tiny_run_and_going_on(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is there is not run again; other settings start anew."""
    monkeypatch.setattr(script, "TEST", 14)
    monkeypatch.setattr(script, "SHOTS", (5,))
    monkeypatch.setattr(script, "SEEDS", {5: (0, 1, 2, 3, 4)})
    runs: list[tuple[Any, ...]] = []

    def fake(method: str, shots: int, seed: int, lr: float, test: Any, decay: float = 1.0) -> float:
        runs.append((method, shots, seed, lr, decay))
        return len(runs) / 100

    real = script.accuracy
    monkeypatch.setattr(script, "accuracy", fake)
    path = tmp_path / "record.json"
    monkeypatch.setattr(sys, "argv", ["curve", "--json", str(path)])
    script.main()
    record = json.loads(path.read_text())
    tried = sum(map(len, script.SETTINGS["rates"].values()))
    assert len(runs) == len(set(runs)) == tried + 30
    assert {run[2] for run in runs[:tried]} == {script.CHOICE[1]}  # no seed of the test
    assert script.CHOICE[1] not in script.SEEDS[5]
    # The fake grows with every run, so the last rate of each list is the best.
    best = {method: rates[-1] for method, rates in script.SETTINGS["rates"].items()}
    assert record["lr"] == best
    assert runs[tried:][:4] == [(m, 5, 0, best[m], 1.0) for m in script.METHODS]
    assert runs[-6] == ("full", 5, 4, script.TOO_HIGH, 1.0)
    assert runs[-1] == ("full", 5, 4, best["full"], script.DECAY)
    first = (tried + 1) / 100
    assert record["accuracy"]["5"]["scratch"] == [round(first + 0.04 * k, 4) for k in range(5)]
    assert record["band"]["full"] == script.band(record["accuracy"]["5"]["full"])
    for aside in (record["mistake"], record["decayed"]):
        assert aside["band"] == script.band(aside["accuracy"])
    assert not any(isinstance(v, str) and "/tmp" in v for v in record.values())

    del record["accuracy"]["5"]["full"][-1]
    path.write_text(json.dumps(record))
    script.main()
    assert runs[tried + 30 :] == [("full", 5, 4, best["full"], 1.0)]
    monkeypatch.setitem(script.SETTINGS, "batch", 8)
    script.main()
    assert len(runs) == 2 * (tried + 30) + 1
    # One real training of one epoch, to see that the settings are those that fit takes.
    monkeypatch.setitem(script.SETTINGS, "epochs", {"probe": [1], "scratch": [1]})
    test = script.signs(1, 0, "test")
    assert 0 <= real("probe", 5, 0, 0.01, test) <= 1
    capsys.readouterr()


def test_two_trainings_at_a_time_find_what_one_after_the_other_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # the processes import it by its name
    script: Any = importlib.import_module("finetune_curve")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runs = [("probe", 5, seed, 0.03, script.signs(5, 9, "test")) for seed in (0, 1)]
        found = list(script.in_order(script.accuracy, runs, 1))
        assert found[0] != found[1]
        assert list(script.in_order(script.accuracy, runs, 2)) == found
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(not RECORD.is_file(), reason="nobody recorded a run yet")
def test_fine_tuning_beats_scratch_by_more_than_the_spread() -> None:
    """The claim of chapter 11's table, from the numbers themselves."""
    record = cnnlib.measured("finetune")
    for shots in ("5", "20"):
        scratch, full = (record["accuracy"][shots][m] for m in ("scratch", "full"))
        assert len(scratch) == len(full) >= 3
        assert min(full) > max(scratch)
        spread = max(statistics.stdev(scratch), statistics.stdev(full))
        assert statistics.mean(full) - statistics.mean(scratch) > spread
    asides = [record[key]["accuracy"] for key in ("mistake", "decayed")]
    for values in (*record["accuracy"]["5"].values(), *asides):
        assert len(values) >= 5


@pytest.mark.skipif(not RECORD.is_file(), reason="nobody recorded a run yet")
def test_the_record_is_of_the_weights_that_travel_along(script: Any) -> None:
    """New weights need a new record."""
    record = cnnlib.measured("finetune")
    assert record["weights"] == script.fingerprint()
    assert record["settings"] == json.loads(json.dumps(script.SETTINGS))
    for method, tried in record["choice"].items():
        assert [float(lr) for lr in tried] == script.SETTINGS["rates"][method]
        assert record["choice"][method][str(record["lr"][method])] == max(tried.values())
