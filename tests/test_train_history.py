"""The history of a training prints, plots and writes itself."""

import csv
import math
import sys

import matplotlib.pyplot as plt
import pytest

from cnnlib.pytorch.history import COLUMNS, History


def row(epoch, **values):
    base = dict.fromkeys(COLUMNS) | {"epoch": epoch, "lr": 0.1, "seconds": 1.25}
    return base | {"train_loss": 1 / epoch, "train_accuracy": 0.5} | values


@pytest.fixture
def history():
    return History(
        [row(1, val_loss=1.0, val_accuracy=0.25), row(2, val_loss=0.5, val_accuracy=0.75),
         row(3, val_loss=0.75, val_accuracy=0.75)]
    )  # fmt: skip


def test_table(history):
    head, *lines = str(history).splitlines()
    assert head.split() == list(COLUMNS)
    assert lines[1].split() == ["2", "0.1", "0.5000", "0.5000", "0.5000", "0.7500", "1.2"]
    assert len({len(line) for line in (head, *lines)}) == 1
    assert "val_loss" not in str(History([row(1)]))
    assert repr(history) == "History(3 epochs)"
    table = history._repr_html_()
    assert table.count("<tr>") == 4
    assert "<td>0.7500</td>" in table


def test_columns_and_best(history):
    assert len(history) == 3
    assert history["epoch"] == [1, 2, 3]
    assert history["val_loss"] == [1.0, 0.5, 0.75]
    assert history.best()["epoch"] == 2
    assert history.best("accuracy")["epoch"] == 2
    diverged = History([{**row(n), "val_loss": v} for n, v in ((1, math.nan), (2, 0.5))])
    assert diverged.best()["epoch"] == 2
    with pytest.raises(KeyError, match="no column 'loss'"):
        history["loss"]
    with pytest.raises(ValueError, match="monitor must be loss or accuracy, got 'lr'"):
        history.best("lr")
    with pytest.raises(ValueError, match="no epoch was validated"):
        History([row(1)]).best()
    with pytest.raises(ValueError, match=r"a row has epoch, lr, .*; got epoch"):
        history.append({"epoch": 4})


def test_csv(history, tmp_path):
    path = tmp_path / "runs" / "history.csv"
    history.to_csv(path)
    with path.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(r["val_loss"]) for r in read] == history["val_loss"]
    assert list(read[0]) == list(COLUMNS)
    assert [p.name for p in path.parent.iterdir()] == ["history.csv"]
    assert b"\r" not in path.read_bytes()


def test_tensorboard(history, tmp_path):
    event = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history.to_tensorboard(tmp_path)
    read = event.EventAccumulator(str(tmp_path))
    read.Reload()
    assert set(read.Tags()["scalars"]) == {
        "lr", "train/loss", "train/accuracy", "val/loss", "val/accuracy", "seconds",
    }  # fmt: skip
    seen = [(e.step, e.value) for e in read.Scalars("val/loss")]
    assert seen == [(1, 1.0), (2, 0.5), (3, 0.75)]


def test_without_tensorboard_there_is_one_clear_error(history, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="needs tensorboard, which is not installed: pip install"):
        history.to_tensorboard(tmp_path)


def test_plot(history):
    axes = history.plot()
    assert [ax.get_ylabel() for ax in axes] == ["loss", "accuracy"]
    curves = {line.get_label(): list(line.get_ydata()) for line in axes[0].get_lines()}
    assert curves == {
        "training": history["train_loss"],
        "validation": history["val_loss"],
    }
    assert list(axes[1].get_lines()[1].get_xdata()) == [1, 2, 3]
    _, two = plt.subplots(1, 2)
    assert History([row(1), row(2)]).plot(two) is two
    assert [line.get_label() for line in two[0].get_lines()] == ["training"]
    with pytest.raises(ValueError, match="two axes are needed, got 1"):
        history.plot([two[0]])
    with pytest.raises(ValueError, match="there is no epoch to plot"):
        History().plot()
    plt.close("all")
