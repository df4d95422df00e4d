"""Line plots, bars and confusion matrices, labelled beside the data instead of in a legend."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cnnlib.figures.theme import COLOURS, INK, PALE

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.6, 1.4)), (0, (6, 1.5, 1.5, 1.5)))


def learning_curves(
    ax: Axes,
    curves: Mapping[str, Any],
    *,
    xlabel: str = "epoch",
    ylabel: str = "",
    start: float = 1,
    step: float = 1,
    title: str | None = None,
) -> Axes:
    """Plot curves against the number of the epoch or step, each named at its right end.

    Args:
        ax: where to draw.
        curves: label -> one value per epoch (lengths may differ).
        xlabel: what is counted along the horizontal axis.
        ylabel: what is plotted, with its unit.
        start: number of the first value.
        step: how much the number grows from one value to the next.
        title: written above.

    Returns:
        ``ax``.
    """
    lines = []
    for i, (label, values) in enumerate(curves.items()):
        y = np.asarray(values, dtype=float)
        x = start + step * np.arange(len(y))
        marker = "o" if len(y) <= 15 else ""
        lines += ax.plot(x, y, ls=_DASHES[i // 7 % 4], marker=marker, ms=3.2, label=label)
    ax.grid(axis="y")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=float(step).is_integer()))
    if title:
        ax.set_title(title)
    _label_ends(ax, lines)
    return ax


def function(
    ax: Axes,
    fs: Callable[..., Any] | Mapping[str, Callable[..., Any]],
    lo: float,
    hi: float,
    *,
    points: int = 401,
    xlabel: str = "x",
    ylabel: str = "",
    title: str | None = None,
) -> Axes:
    """Plot one or several functions of one variable over [lo, hi], with the axes through zero.

    Args:
        ax: where to draw.
        fs: a function of an array, or label -> function.
        lo: left end.
        hi: right end.
        points: number of places where each function is computed.
        xlabel: name of the variable.
        ylabel: name of the value.
        title: written above.

    Returns:
        ``ax``.
    """
    named = fs if isinstance(fs, Mapping) else {"": fs}
    x = np.linspace(lo, hi, points)
    ax.axhline(0, color="#9A9A9A", lw=0.7, zorder=0)
    if lo < 0 < hi:
        ax.axvline(0, color="#9A9A9A", lw=0.7, zorder=0)
    lines = []
    for i, (label, f) in enumerate(named.items()):
        y = np.broadcast_to(np.asarray(f(x), dtype=float), x.shape)
        lines += ax.plot(x, y, ls=_DASHES[i % 4], label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(lo, hi))
    if title:
        ax.set_title(title)
    _label_ends(ax, [line for line in lines if not str(line.get_label()).startswith("_")])
    return ax


def bars(
    ax: Axes,
    values: Mapping[str, float],
    *,
    fmt: str = "g",
    unit: str = "",
    colour: str = "blue",
    emphasise: Sequence[str] = (),
    title: str | None = None,
) -> Axes:
    """Horizontal bars from top to bottom, each with its number at its end.

    Args:
        ax: where to draw.
        values: label -> length.
        fmt: format of the number.
        unit: written after the number.
        colour: a name in ``COLOURS``.
        emphasise: labels whose bars are drawn in vermillion and their numbers in bold.
        title: written above.

    Returns:
        ``ax``.
    """
    longest = max((abs(v) for v in values.values()), default=1.0) or 1.0
    for row, (label, value) in enumerate(values.items()):
        strong = label in emphasise
        ax.barh(row, value, height=0.62, color=COLOURS["vermillion" if strong else colour])
        weight = "bold" if strong else "normal"
        end = max(value, 0.0) + 0.012 * longest
        ax.text(end, row, format(value, fmt) + unit, va="center", fontsize=9, fontweight=weight)
    ax.set_yticks(range(len(values)), list(values))
    ax.set(ylim=(len(values) - 0.4, -0.6), xticks=[])
    ax.margins(x=0.12)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    if title:
        ax.set_title(title)
    return ax


def confusion(ax: Axes, matrix: Any, labels: Sequence[Any], *, title: str | None = None) -> Axes:
    """Draw a confusion matrix: one row per true class, one column per predicted class.

    Args:
        ax: where to draw.
        matrix: (K, K) counts; rows are true classes.
        labels: K names.
        title: written above.

    Returns:
        ``ax``. Cells are tinted by their share of the row, mistakes vermillion, hits blue; zeros
        stay empty.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or len(labels) != len(counts):
        raise ValueError(
            "confusion: matrix must be (K, K) with K labels, "
            f"got {counts.shape} and {len(labels)} labels"
        )
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(counts), dtype=bool)
    # Mistakes are rare: a root lets a single one be seen beside a diagonal of dozens.
    tint = np.where(right, 0.85 * share, -np.sqrt(share))
    ax.imshow(tint, cmap=PALE, vmin=-1, vmax=1)
    size = 9 if len(counts) <= 12 else 6
    for i, j in np.ndindex(*counts.shape):
        if counts[i, j]:
            weight = "normal" if i == j else "bold"
            ax.text(
                j,
                i,
                f"{counts[i, j]:g}",
                ha="center",
                va="center",
                fontsize=size,
                fontweight=weight,
            )
    ticks = np.arange(len(counts))
    ax.set_xticks(ticks, [str(label) for label in labels])
    ax.set_yticks(ticks, [str(label) for label in labels])
    ax.set_xticks(ticks[1:] - 0.5, minor=True)
    ax.set_yticks(ticks[1:] - 0.5, minor=True)
    ax.grid(which="minor", color="#D9D9D9", lw=0.5)
    ax.tick_params(which="both", length=0)
    ax.spines[["top", "right"]].set_visible(True)
    ax.set(xlabel="predicted", ylabel="true")
    if title:
        ax.set_title(title)
    return ax


def _label_ends(ax: Axes, lines: Sequence[Line2D]) -> None:
    """Write each line's label right of its last point, pushed apart where they would collide.

    The last point is the last one that can be drawn: a training that runs away ends in NaN.
    """
    last, shown = [], []
    for line in lines:
        x, y = (np.asarray(a, dtype=float) for a in (line.get_xdata(), line.get_ydata()))
        drawn = np.flatnonzero(np.isfinite(y))
        if drawn.size:
            last.append((x[drawn[-1]], y[drawn[-1]]))
            shown.append(line)
    lines = shown
    if not lines:
        return
    ax.set_ylim(*ax.get_ylim())
    scale = ax.yaxis.get_transform()  # on a logarithmic axis labels are pushed apart in decades
    low, high = scale.transform(ax.get_ylim())
    inches = ax.figure.bbox.height / ax.figure.dpi
    height = 0.8 * inches * ax.get_position().height  # roughly, before the layout is final
    gap = (high - low) * 0.165 / max(height, 0.5)
    ends = [(x, scale.transform([y])[0]) for x, y in last]
    order = sorted(range(len(lines)), key=lambda i: ends[i][1])
    place = [min(max(float(ends[i][1]), low), high) for i in order]
    for i in range(1, len(place)):
        place[i] = max(place[i], place[i - 1] + gap)
    for i in range(len(place) - 2, -1, -1):  # what was pushed over the top moves down again
        place[i + 1] = min(place[i + 1], high - gap * (len(place) - 2 - i))
        place[i] = min(place[i], place[i + 1] - gap)
    right = max(end[0] for end in ends)
    for i, y in zip(order, place, strict=True):
        colour = lines[i].get_color()
        ax.annotate(
            str(lines[i].get_label()),
            (right, scale.inverted().transform([y])[0]),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=colour if colour != COLOURS["orange"] else INK,
            annotation_clip=False,
        )
