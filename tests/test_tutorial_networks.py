"""Chapter 10's networks from tutorials: the script that trains them, and its record."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnlib import datasets
from cnnlib.pytorch import models

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import tutorial_networks as script  # noqa: E402

RECORD = json.loads((ROOT / "data/measured/tutorial_networks.json").read_text())


def test_the_record_is_of_this_script():
    assert RECORD["runs"] == script.RUNS
    assert RECORD["seeds"] == script.SEEDS
    assert RECORD["settings"]["size"] == script.SIZE
    assert RECORD["settings"]["images"] == script.COUNTS
    for name, runs in RECORD["results"].items():
        assert len(runs) == len(script.SEEDS)
        network = script.RUNS[name]["network"]
        size = (3, script.SIZE, script.SIZE)
        with torch.device("meta"):
            net = models.build(network, classes=14, input_size=size)
        assert RECORD["parameters"][name] == sum(p.numel() for p in net.parameters())
        for run in runs:
            assert len(run["train_accuracy"]) == len(run["val_accuracy"]) == 10


def test_signs_become_class_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(script, "COUNTS", {"train": 15, "val": 14})
    script.draw(tmp_path, 3)
    for split, count in script.COUNTS.items():
        files = sorted((tmp_path / split).rglob("*.png"), key=lambda path: path.name)
        signs = datasets.road_signs(count, 3, split=split)
        assert [f.parent.name for f in files] == [datasets.ROAD_SIGNS[k] for k in signs.y]


def test_a_real_training_and_going_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "COUNTS", {"train": 14, "val": 14, "test": 28})
    monkeypatch.setattr(script, "SHARED", {"epochs": 1, "weight_decay": 0.0})
    script.draw(tmp_path / "signs", 0)
    found = script.train(tmp_path / "signs", 0, script.RUNS["simple_cnn"])
    right = 28 * found["test_accuracy"]
    assert right == pytest.approx(round(right), abs=2e-3)
    assert len(found["val_accuracy"]) == 1

    seen: list[tuple[Any, ...]] = []

    def fake(root: Path, seed: int, run: dict[str, Any]) -> dict[str, float]:
        assert (root / "test" / "stop").is_dir()
        seen.append((seed, run["network"], run["lr"]))
        return {"test_accuracy": len(seen) / 100}

    monkeypatch.setattr(script, "train", fake)
    file = tmp_path / "record.json"
    monkeypatch.setattr(sys, "argv", ["tutorial_networks.py", "--json", str(file)])
    script.main()
    assert len(seen) == len(set(seen)) == 12
    record = json.loads(file.read_text())
    assert [r["test_accuracy"] for r in record["results"]["small_cnn"]] == [0.01, 0.07]
    assert str(tmp_path) not in file.read_text()
    del record["results"]["simple_cnn"][1]
    file.write_text(json.dumps(record))
    script.main()
    assert seen[12:] == [(1, "simple_cnn", 0.001)]
    assert json.loads(file.read_text())["results"]["simple_cnn"][1]["test_accuracy"] == 0.13
    monkeypatch.setattr(script, "BATCH", 8)
    script.main()
    assert len(seen) == 13 + 12
