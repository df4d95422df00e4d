"""Grids of numbers, and rows of them that read like an equation."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cnnlib.figures.theme import COLOURS, INK, PALE

_EDGE = "#B5B5B5"


def matrix(
    ax: Axes,
    array: Any,
    *,
    title: str | None = None,
    fmt: str = "g",
    highlight: Any = None,
    cmap: Any = None,
    vmin: float | None = None,
    vmax: float | None = None,
    fontsize: float | None = None,
) -> Axes:
    r"""Draw a 2-D array as a grid of cells with its numbers in them.

    Without ``cmap`` the cells are tinted by sign (negative vermillion, zero white, positive blue),
    symmetric about zero.

    Args:
        ax: where to draw.
        array: numbers of shape (H, W); a 1-D array becomes one row. NaN leaves a cell empty.
        title: written above the grid.
        fmt: format of one number, as in ``format(value, fmt)``; ``""`` writes no numbers.
        highlight: cells to frame: ``(row, col)``, ``(row, col, height, width)`` or a list of these.
        cmap: a matplotlib colour map or its name, or ``"none"`` for white cells.
        vmin: value of the lowest colour.
        vmax: value of the highest colour.
        fontsize: size of the numbers in points.

    Returns:
        ``ax``, with one data unit per cell and row 0 at the top.
    """
    grid = np.atleast_2d(np.asarray(array, dtype=float))
    if grid.ndim != 2:
        raise ValueError(f"matrix: array must have one or two axes, got shape {grid.shape}")
    height, width = grid.shape
    finite = grid[np.isfinite(grid)]
    bound = max(float(np.abs(finite).max()), 1e-12) if finite.size else 1.0
    if cmap is None:
        norm = Normalize(-bound if vmin is None else vmin, bound if vmax is None else vmax)
    else:
        low = float(finite.min()) if finite.size else 0.0
        high = float(finite.max()) if finite.size else 1.0
        norm = Normalize(low if vmin is None else vmin, high if vmax is None else vmax)
    colours = PALE if cmap is None else None if cmap == "none" else colormaps.get_cmap(cmap)
    for i, j in np.ndindex(height, width):
        value = grid[i, j]
        face = (1.0, 1.0, 1.0, 1.0)
        if colours is not None and np.isfinite(value):
            face = tuple(float(c) for c in colours(norm(value)))  # type: ignore[assignment]
        ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=face, edgecolor=_EDGE, lw=0.6))
        if fmt and np.isfinite(value):
            dark = 0.299 * face[0] + 0.587 * face[1] + 0.114 * face[2] < 0.5
            text = format(value + 0.0, fmt).replace("-", "\N{MINUS SIGN}")
            ink = "white" if dark else INK
            ax.text(j, i, text, ha="center", va="center", color=ink, fontsize=fontsize)
    for row, col, rows, cols in _rectangles(highlight):
        frame = (col - 0.5, row - 0.5)
        ax.add_patch(
            Rectangle(frame, cols, rows, fill=False, edgecolor=COLOURS["orange"], lw=2.6, zorder=3)
        )
    ax.set(xlim=(-0.56, width - 0.44), ylim=(height - 0.44, -0.56), aspect="equal")
    ax.axis("off")
    if title:
        ax.set_title(title)
    return ax


def equation(
    *rows: Sequence[Any],
    titles: Sequence[str | None] | None = None,
    fmt: str = "g",
    cell: float = 0.4,
    highlight: dict[Any, Any] | None = None,
    fontsize: float | None = None,
) -> Figure:
    r"""Draw rows of grids and signs, such as ``[x, "*", kernel, "=", y]``, in cells of one size.

    Args:
        *rows: each a sequence of 2-D arrays and of strings; strings are written between the grids.
            All rows have the same number of parts.
        titles: one title per part of the first row (``None`` where there is none).
        fmt: format of one number.
        cell: side of one cell in inches.
        highlight: part number, or (row, part number), -> cells to frame there, as in
            :func:`matrix`; a part number alone means that part in every row.
        fontsize: size of the numbers in points.

    Returns:
        A figure as large as its cells need.
    """
    if not rows or len({len(row) for row in rows}) != 1:
        raise ValueError("equation: give one or more rows with the same number of parts")
    sizes = [[_size(part) for part in row] for row in rows]
    widths = [max(row[i][1] for row in sizes) for i in range(len(rows[0]))]
    heights = [max(size[0] for size in row) for row in sizes]
    frames = highlight or {}
    top = 0.34 if titles else 0.06
    gap = 0.16
    figure = plt.figure(
        figsize=(
            sum(widths) * cell + 0.12,
            sum(heights) * cell + gap * (len(rows) - 1) + top + 0.06,
        ),
        layout="none",
    )
    total_w, total_h = figure.get_size_inches()
    y = total_h - top
    for r, (row, height) in enumerate(zip(rows, heights, strict=True)):
        x = 0.06
        for i, (part, width) in enumerate(zip(row, widths, strict=True)):
            box = (x / total_w, (y - height * cell) / total_h)
            ax = figure.add_axes((*box, width * cell / total_w, height * cell / total_h))
            if isinstance(part, str):
                ax.axis("off")
                ax.text(0.5, 0.5, part, ha="center", va="center", fontsize=_sign_size(part))
            else:
                frame = frames.get((r, i), frames.get(i))
                matrix(ax, part, fmt=fmt, highlight=frame, fontsize=fontsize)
            if titles and r == 0:
                ax.set_title(titles[i] or "", fontsize=9.5)
            x += width * cell
        y -= height * cell + gap
    return figure


def _size(part: Any) -> tuple[float, float]:
    if isinstance(part, str):
        return 1.0, 0.4 + 0.018 * _sign_size(part) * len(part)
    height, width = np.atleast_2d(np.asarray(part)).shape
    return height + 0.12, width + 0.12


def _sign_size(sign: str) -> float:
    """Points: the star is a small letter in a large box, words are set as the numbers are."""
    return 26 if sign == "\N{STAR OPERATOR}" else 15 if len(sign) < 3 else 10


def _rectangles(highlight: Any) -> list[tuple[float, float, float, float]]:
    if highlight is None:
        return []
    several = highlight if isinstance(highlight, list) else [highlight]
    return [(*one, 1, 1) if len(one) == 2 else tuple(one) for one in several]
