"""Computation graphs: boxes for the variables, arrows for who is computed from whom."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from cnnlib.figures.theme import COLOURS, INK

_BOX = {"boxstyle": "round,pad=0.45", "facecolor": "#F4F4F4", "edgecolor": "#8C8C8C"}


def graph(
    ax: Axes,
    nodes: Mapping[str, tuple[float, float]],
    edges: Mapping[tuple[str, str], str],
    *,
    values: Mapping[str, Any] | None = None,
    gradients: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Axes:
    """Draw a computation graph with its values above the boxes and its gradients below.

    Args:
        ax: where to draw.
        nodes: position (column, row) of each variable by name; row 0 is at the bottom.
        edges: (from, to) -> text at the arrow, such as a local derivative; ``""`` for none.
        values: value of each variable, written above its box after "value".
        gradients: derivative of the output by each variable, written below after "grad".
        labels: what stands in a box, where it is more than the name.

    Returns:
        ``ax``.
    """
    missing = {name for edge in edges for name in edge} - set(nodes)
    if missing:
        raise ValueError(f"graph: edges name nodes that have no position: {sorted(missing)}")
    boxes = {}
    for name, at in nodes.items():
        text = (labels or {}).get(name, name)
        boxes[name] = ax.annotate(
            text, at, ha="center", va="center", size=11, color=INK, bbox=_BOX, zorder=3
        )
    notes = (("value", values, 16, "blue", "bottom"), ("grad", gradients, -16, "vermillion", "top"))
    for word, numbers, offset, colour, side in notes:
        for name, number in (numbers or {}).items():
            text = f"{word} {number:g}".replace("-", "\N{MINUS SIGN}")
            ax.annotate(
                text,
                nodes[name],
                xytext=(0, offset),
                textcoords="offset points",
                ha="center",
                va=side,
                size=9.5,
                color=COLOURS[colour],
            )
    for (start, end), text in edges.items():
        ax.annotate(
            "",
            nodes[end],
            nodes[start],
            arrowprops={
                "arrowstyle": "-|>",
                "color": "#555555",
                "lw": 1.1,
                "patchA": boxes[start].get_bbox_patch(),
                "patchB": boxes[end].get_bbox_patch(),
                "shrinkA": 2,
                "shrinkB": 2,
            },
            zorder=1,
        )
        if text:
            (x1, y1), (x2, y2) = nodes[start], nodes[end]
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            white = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"}
            ax.text(x, y, text, ha="center", va="center", size=9, color=INK, bbox=white, zorder=2)
    columns, rows = zip(*nodes.values(), strict=True)
    ax.set(xlim=(min(columns) - 0.55, max(columns) + 0.55), ylim=(min(rows) - 0.6, max(rows) + 0.6))
    ax.axis("off")
    return ax
