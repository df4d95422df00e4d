"""What happened in each epoch of a training: a table that prints, plots and writes itself."""

import csv
import html
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

COLUMNS = (
    "epoch",
    "lr",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "seconds",
)
FORMATS = {"epoch": "d", "lr": ".3g", "seconds": ".1f"}


class History:
    """One row per epoch: epoch (from 1), lr, train_loss, train_accuracy, val_loss, val_accuracy,
    seconds.

    ``lr`` is the largest rate among the parameter groups at the epoch's last step. Losses are
    means per example; the validation values are None where there was no validation. The training
    values are collected while the weights change and while dropout acts, so that early on the
    training loss can lie above the validation loss.

    Args:
        rows: One dict per epoch with these keys.
        stopped_early: Whether patience ended the training.

    Raises:
        ValueError: If a row has other keys.

    >>> row = dict(epoch=1, lr=0.1, train_loss=2.0, train_accuracy=0.3, val_loss=1.5,
    ...            val_accuracy=0.5, seconds=0.0)
    >>> print(History([row]))
    epoch   lr  train_loss  train_accuracy  val_loss  val_accuracy  seconds
        1  0.1      2.0000          0.3000    1.5000        0.5000      0.0
    """

    def __init__(self, rows: Iterable[dict[str, Any]] = (), *, stopped_early: bool = False):
        self.rows: list[dict[str, Any]] = []
        self.stopped_early = stopped_early
        for row in rows:
            self.append(row)

    def append(self, row: dict[str, Any]) -> None:
        """Add the next epoch."""
        if set(row) != set(COLUMNS):
            raise ValueError(f"History: a row has {', '.join(COLUMNS)}; got {', '.join(row)}")
        self.rows.append({name: row[name] for name in COLUMNS})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> list[Any]:
        """The values of a column, one per epoch."""
        if column not in COLUMNS:
            raise KeyError(f"History: no column {column!r}; there are {', '.join(COLUMNS)}")
        return [row[column] for row in self.rows]

    def best(self, monitor: str = "loss") -> dict[str, Any]:
        """The first row with the lowest validation loss, or the highest validation accuracy.

        Raises:
            ValueError: If monitor is neither of the two, or nothing was validated.
        """
        if monitor not in ("loss", "accuracy"):
            raise ValueError(f"History.best: monitor must be loss or accuracy, got {monitor!r}")
        sign = 1 if monitor == "loss" else -1
        seen = [row for row in self.rows if row[f"val_{monitor}"] is not None]
        if not seen:
            raise ValueError("History.best: no epoch was validated")
        numbers = [row for row in seen if row[f"val_{monitor}"] == row[f"val_{monitor}"]]
        return min(numbers or seen, key=lambda row: sign * row[f"val_{monitor}"])

    def cells(self) -> list[list[str]]:
        """The heading and the rows as short texts; columns without any value are left out."""
        names = [n for n in COLUMNS if not self.rows or any(v is not None for v in self[n])]
        body = [
            ["" if row[n] is None else format(row[n], FORMATS.get(n, ".4f")) for n in names]
            for row in self.rows
        ]
        return [names, *body]

    def __str__(self) -> str:
        cells = self.cells()
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        return "\n".join(
            "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        )

    def __repr__(self) -> str:
        return f"History({len(self.rows)} epochs)"

    def _repr_html_(self) -> str:
        head, *body = ([html.escape(text) for text in row] for row in self.cells())
        rows = "".join(f"<tr>{''.join(f'<td>{t}</td>' for t in row)}</tr>" for row in body)
        top = "".join(f"<th>{t}</th>" for t in head)
        return (
            f'<table class="dataframe"><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>'
        )

    def plot(self, axes: Any = None) -> Any:
        """Draw loss and accuracy against the epoch, training and validation.

        Args:
            axes: Two matplotlib Axes, for loss and accuracy; a new figure if None.

        Returns:
            The two Axes.

        Raises:
            ValueError: If there is no row, or not two axes.
        """
        from matplotlib import pyplot as plt

        from cnnlib import figures

        if not self.rows:
            raise ValueError("History.plot: there is no epoch to plot")
        if axes is None:
            _, axes = plt.subplots(1, 2, figsize=(7.2, 2.8))
        if len(axes) != 2:
            raise ValueError(f"History.plot: two axes are needed, got {len(axes)}")
        for ax, what in zip(axes, ("loss", "accuracy"), strict=True):
            curves = {
                name: [float("nan") if v is None else v for v in self[f"{part}_{what}"]]
                for name, part in (("training", "train"), ("validation", "val"))
                if any(v is not None for v in self[f"{part}_{what}"])
            }
            figures.learning_curves(ax, curves, ylabel=what, start=self.rows[0]["epoch"])
        return axes

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the table as a CSV file, replacing the old one as a whole."""
        from cnnlib.pytorch.checkpoint import replacing

        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with replacing(Path(path)) as file:
            file.write(text.getvalue().encode())

    def to_tensorboard(self, folder: str | os.PathLike) -> None:
        """Write every column as a curve that TensorBoard shows.

        Raises:
            ImportError: If the package tensorboard is not installed.
        """
        with tensorboard_writer()(str(folder)) as writer:
            for row in self.rows:
                for name in COLUMNS[1:]:
                    if row[name] is not None:
                        writer.add_scalar(name.replace("_", "/", 1), row[name], row["epoch"])


def tensorboard_writer() -> Any:
    """The class that writes curves for TensorBoard; asked for before a training, it saves hours.

    Raises:
        ImportError: If the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "History.to_tensorboard needs tensorboard, which is not installed: "
            "pip install tensorboard"
        ) from error
    return SummaryWriter
