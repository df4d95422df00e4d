"""Chapter 9's record: it is complete, and it bears out what the chapter says of it."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cnnlib import datasets

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import road_signs_experiment as experiment  # noqa: E402
import road_signs_training as training  # noqa: E402

RECORD = json.loads((ROOT / "data/measured/road_signs_training.json").read_text())
RUNS, WORST = RECORD["runs"], RECORD["worst"]
TEXT = (ROOT / "manuscript/09_training_well.md").read_text(encoding="utf-8")


def test_the_record_is_complete():
    assert [run["seed"] for run in RUNS] == [0, 1, 2, 3, 4]
    assert all(set(run) == {"seed", *training.PARTS} for run in RUNS)
    assert set(RECORD["measured"]) == set(training.PARTS)
    for part in RECORD["measured"].values():
        assert {"date", "machine", "versions"} == part.keys()
    assert RECORD["classes"] == len(datasets.ROAD_SIGNS)


def test_the_worst_is_the_worst_of_the_runs():
    assert training.worst(RUNS) == WORST


def test_parts_that_train_the_same_network_agree():
    """The over-fitted network was trained twice, for two parts: the same seeds, the same loss."""
    for run in RUNS:
        assert run["certain"]["val_loss"] == run["cures"]["nothing"]["val_loss"]


def test_the_record_bears_out_chapter_9_on_over_fitting():
    assert WORST["training_accuracy_of_nothing"] > 0.99
    assert WORST["val_accuracy_of_nothing"] < 0.5  # wrong more often than right
    assert min(WORST["lower_val_loss_by"].values()) > 0.5
    assert WORST["accuracy_gained_by_more_data"] > 0.05
    assert WORST["accuracy_lost_by_early_stopping"] > 0.02
    for run in RUNS:
        losses = {name: end["val_loss"] for name, end in run["cures"].items()}
        assert min(losses, key=losses.get) == "more data"


def test_the_record_bears_out_chapter_9_on_rates():
    low, high = WORST["finder_bottom"]
    assert 0.01 < low < 0.02 < high < 0.1  # the chapter asserts 0.005 to 0.2
    assert 3.5 < high / low < 4.5  # and says that they differ by a factor of four
    assert WORST["finder_rise"] > 0.4  # and a rise of 0.3
    assert WORST["finder_fall"] > 0.3
    assert WORST["loss_saved_by_cosine"] > 0.05
    assert WORST["training_loss_saved_by_batch_norm"] > 0.2
    assert WORST["rate_over_decay"] > 3


def test_the_record_bears_out_chapter_9_on_confidence():
    for run in RUNS:
        whole = run["all_together"]
        assert whole["mirrored_turns_called_the_other"] > 0.5
        assert whole["mirrored_turns_called_as_before"] < 0.2
        assert whole["least_found"].startswith("speed_")
        assert whole["lowest_recall"] < 0.5
        assert abs(whole["accuracy_by_day"] - whole["accuracy_at_night"]) < 0.03
        assert whole["mistakes_within_blocks"] > 0.6
    low, _ = WORST["temperature_of_nothing"]
    assert low > 2  # the chapter asserts 1.5
    assert WORST["ece_left_by_temperature"] < 0.4  # and that less than half is left
    for run in RUNS:
        answered = run["all_together"]["answered"]
        right = run["all_together"]["accuracy_where_answered"]
        assert answered[0] > answered[1] > answered[2]
        assert right[0] < right[1] < right[2]


def test_the_script_has_the_chapters_network():
    """The chapter prints its own copy of the function: both must give the same weights."""
    cell = re.search(r"^def network\(.*?^    return nn\.Sequential\(\*layers\)$", TEXT, re.M | re.S)
    found = {"torch": torch, "nn": torch.nn}
    exec(cell.group(), found)
    for options in ({}, {"batch_norm": True}, {"dropout": 0.5}):
        theirs = found["network"](3, **options)
        ours = experiment.network(3, **options)
        assert str(theirs) == str(ours)
        for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
            assert torch.equal(a, b)


def test_the_script_has_the_chapters_finder():
    cell = re.search(r"^def find_rate\(.*?^    return .*?$", TEXT, re.M | re.S)
    found = {"torch": torch, "nn": torch.nn, "np": np, "data": experiment.data}
    exec(cell.group(), found)
    signs = experiment.Experiment(0).signs(160)
    for theirs, ours in zip(
        found["find_rate"](experiment.network(0), signs, steps=10),
        experiment.find_rate(experiment.network(0), signs, 0, steps=10),
        strict=True,
    ):
        np.testing.assert_allclose(theirs, ours)


def test_the_finder_ends_where_the_loss_runs_away():
    """And a loss that is no number is never its smallest."""
    signs = experiment.Experiment(0).signs(320)
    rates, losses = experiment.find_rate(experiment.network(0), signs, 0, 1.0, 1e6, steps=20)
    assert 1 < len(rates) == len(losses) < 20
    assert not np.isnan(losses).any()
    assert np.argmin(losses) < len(losses) - 1


def test_parts_measured_anew_leave_the_others_alone(tmp_path, monkeypatch):
    target = tmp_path / "record.json"
    command = ["road_signs_training.py", "--json", str(target), "--seeds", "0", "1"]
    for part in training.PARTS:
        monkeypatch.setattr(training.Experiment, part, lambda self: {"first": self.seed})
    monkeypatch.setattr(training, "worst", len)
    threads = torch.get_num_threads()
    try:
        monkeypatch.setattr(sys, "argv", command)
        training.main()
        monkeypatch.setattr(training.Experiment, "finder", lambda self: {"second": self.seed})
        monkeypatch.setattr(sys, "argv", [*command, "--only", "finder"])
        training.main()
        record = json.loads(target.read_text())
        assert record["worst"] == 2
        assert set(record["measured"]) == set(training.PARTS)
        for seed, run in enumerate(record["runs"]):
            assert run["finder"] == {"second": seed}
            assert run["cures"] == {"first": seed}
        monkeypatch.setattr(sys, "argv", [*command[:-1], "2", "--only", "finder"])
        with pytest.raises(SystemExit):
            training.main()
    finally:
        torch.set_num_threads(threads)
