"""Boxes of equal height on a grid, and straight arrows for what flows from one to the next."""

from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from cnnlib.figures.theme import COLOURS, INK

_ACROSS, _DOWN = 0.32, 0.42  # the gaps between boxes, in columns and in rows
_LARGE, _SMALL, _LEADING = 12.0, 10.0, 1.35  # points; the lines' distance over their size
_ARROW: dict[str, Any] = {
    "arrowstyle": "-|>",
    "mutation_scale": 13,
    "color": "#555555",
    "lw": 1.4,
    "shrinkA": 0,
    "shrinkB": 1,
}

Name = TypeVar("Name", bound=Hashable)


def flow(
    ax: Axes,
    boxes: Mapping[Name, tuple[float, ...]],
    arrows: Mapping[tuple[Name, Name], str],
    *,
    labels: Mapping[Name, str] | None = None,
    colours: Mapping[Name, str] | None = None,
    titles: Mapping[Name, str] | None = None,
) -> Axes:
    """Draw boxes on a grid of columns and rows, and straight arrows between them.

    An arrow runs down, up or across, in the middle of the stretch in which its two boxes face each
    other. A column should be an inch and a half wide and a row three quarters high, or more.

    Args:
        ax: where to draw.
        boxes: name -> (column, row), or (column, row, columns covered); row 0 is at the top.
        arrows: (from, to) -> text at the arrow, such as a shape; ``""`` for none.
        labels: what stands in a box if it is not its name; lines after the first are smaller.
        colours: name -> key of ``COLOURS``; all other boxes are grey.
        titles: name -> text above that box.

    Returns:
        ``ax``, with one unit per column and row.

    Raises:
        ValueError: If there is no box, if a name has no box, if a colour is not one of ``COLOURS``,
            or if two boxes that an arrow joins do not face each other.
    """
    if not boxes:
        raise ValueError("flow: there is no box to draw")
    named = {name for pair in arrows for name in pair}
    unknown = named.union(labels or (), colours or (), titles or ()) - set(boxes)
    if unknown:
        raise ValueError(
            f"flow: there is no box for {sorted(map(str, unknown))}, only {[*map(str, boxes)]}"
        )
    strange = set((colours or {}).values()) - set(COLOURS)
    if strange:
        raise ValueError(f"flow: there is no colour {sorted(strange)}, only {[*COLOURS]}")
    sides = {name: _sides(*place) for name, place in boxes.items()}
    for name, (left, right, top, bottom) in sides.items():
        colour = (colours or {}).get(name)
        edge = COLOURS[colour] if colour else "#8C8C8C"
        face = tuple(0.85 + 0.15 * c for c in to_rgb(edge)) if colour else "#F4F4F4"
        ax.add_patch(
            Rectangle(
                (left, top), right - left, bottom - top, facecolor=face, edgecolor=edge, lw=1.4
            )
        )
        _write(ax, ((left + right) / 2, (top + bottom) / 2), (labels or {}).get(name, str(name)))
    for name, text in (titles or {}).items():
        left, right, top, _ = sides[name]
        _note(ax, text, ((left + right) / 2, top), (0, 6), "bottom", weight="bold")
    for (start, end), text in arrows.items():
        a, b, upright = _ends(start, end, sides[start], sides[end])
        ax.annotate("", b, a, arrowprops=_ARROW)
        middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
        if upright:
            _note(ax, text, middle, (7, 0), "center", ha="left")
        else:
            _note(ax, text, middle, (0, 5), "bottom")
    lefts, rights, tops, bottoms = zip(*sides.values(), strict=True)
    above = 0.3 if titles else 0.05
    ax.set(
        xlim=(min(lefts) - 0.03, max(rights) + 0.03),
        ylim=(max(bottoms) + 0.05, min(tops) - above),
    )
    ax.axis("off")
    return ax


def _sides(column: float, row: float, across: float = 1) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of a box."""
    return column + _ACROSS / 2, column + across - _ACROSS / 2, row + _DOWN / 2, row + 1 - _DOWN / 2


def _ends(
    start: Hashable,
    end: Hashable,
    a: tuple[float, float, float, float],
    b: tuple[float, float, float, float],
) -> tuple[tuple[float, float], tuple[float, float], bool]:
    """Where an arrow begins and ends, and whether it runs down or up."""
    left, right, top, bottom = (f(p, q) for f, p, q in zip((max, min, max, min), a, b, strict=True))
    if (left < right) == (top < bottom):
        fault = "lie over each other" if left < right else "share no column and no row"
        raise ValueError(f"flow: no straight arrow: {str(start)!r} and {str(end)!r} {fault}")
    if left < right:
        x = (left + right) / 2
        first, last = (a[3], b[2]) if a[2] < b[2] else (a[2], b[3])
        return (x, first), (x, last), True
    y = (top + bottom) / 2
    first, last = (a[1], b[0]) if a[0] < b[0] else (a[0], b[1])
    return (first, y), (last, y), False


def _write(ax: Axes, at: tuple[float, float], text: str) -> None:
    """A label's first line large and the rest small, as one block about its middle."""
    head, *rest = text.split("\n")
    y = _LEADING * _SMALL * len(rest) / 2
    _note(ax, head, at, (0, y), size=_LARGE)
    y -= _LEADING * (_LARGE - _SMALL) / 2
    for line in rest:
        y -= _LEADING * _SMALL
        _note(ax, line, at, (0, y))


def _note(
    ax: Axes,
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float],
    va: str = "center_baseline",
    **look: Any,
) -> None:
    """One line of text, so many points from a place."""
    if text:
        usual: dict[str, Any] = {"ha": "center", "va": va, "size": _SMALL, "color": INK}
        ax.annotate(text, at, xytext=offset, textcoords="offset points", **(usual | look))
