"""Plain shapes on a square canvas: discs, polygons, strokes and a sign-writer's letters."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

Points = Sequence[tuple[float, float]]


def canvas(size: int, extent: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (size, size) of pixel centres: x to the right, y downwards, from -extent on."""
    line = ((np.arange(size) + 0.5) * (2 / size) - 1) * extent
    return np.broadcast_to(line, (size, size)), np.broadcast_to(line[:, None], (size, size))


def disc(x, y, centre: tuple[float, float], radius: float) -> np.ndarray:
    """Mask of a filled circle."""
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2


def regular(x, y, sides: int, inradius: float, turn: float, corner: float = 0.0) -> np.ndarray:
    """Mask of a regular polygon around the origin with rounded corners.

    Args:
        x: Coordinates.
        y: Coordinates.
        sides: How many.
        inradius: Distance from the centre to a side.
        turn: Direction of the first side's middle, in degrees clockwise from the right.
        corner: Radius of the rounded corners.
    """
    angles = np.deg2rad(turn + 360 / sides * np.arange(sides))
    inner = inradius - corner
    heights = [x * np.cos(a) + y * np.sin(a) - inner for a in angles]
    inside = np.maximum.reduce(heights)
    if corner == 0:
        return inside <= 0
    tips = [_tip(a, inner, sides) for a in angles]
    edges = zip(tips, tips[1:] + tips[:1], strict=True)
    distance = np.minimum.reduce([_to_segment(x, y, p, q) for p, q in edges])
    return (inside <= 0) | (distance <= corner)


def polygon(x, y, points: Points) -> np.ndarray:
    """Mask of a filled polygon: a point is inside if a ray from it crosses the edge oddly often."""
    inside = np.zeros(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside


def stroke(x, y, points: Points, width: float) -> np.ndarray:
    """Mask of a line of that width through the points, with round ends."""
    mask = np.zeros(x.shape, dtype=bool)
    for p, q in pairwise(points):
        # Only the rows and columns around the segment: a letter has some twenty segments.
        rows, cols = _near(y[:, 0], p[1], q[1], width), _near(x[0], p[0], q[0], width)
        mask[rows, cols] |= _to_segment(x[rows, cols], y[rows, cols], p, q) <= width / 2
    return mask


def arc(
    centre: tuple[float, float], radii: tuple[float, float], start: float, stop: float
) -> list[tuple[float, float]]:
    """Points of an arc of an ellipse; degrees, clockwise from the right (y points down)."""
    count = max(2, int(abs(stop - start) / 8) + 1)
    angles = np.deg2rad(np.linspace(start, stop, count))
    xs, ys = centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)
    return [(float(a), float(b)) for a, b in zip(xs, ys, strict=True)]


def arrow_head(tip: tuple[float, float], direction: float, length: float, width: float) -> Points:
    """Corners of a triangle with its tip there, pointing that way (degrees clockwise)."""
    a = np.deg2rad(direction)
    back = (tip[0] - length * np.cos(a), tip[1] - length * np.sin(a))
    side = (-np.sin(a) * width / 2, np.cos(a) * width / 2)
    return [
        tip,
        (float(back[0] + side[0]), float(back[1] + side[1])),
        (float(back[0] - side[0]), float(back[1] - side[1])),
    ]


# Strokes of each character in a box one unit wide and two high, y downwards.
GLYPHS: dict[str, list[Points]] = {
    "0": [[*arc((0.5, 0.55), (0.5, 0.55), 180, 360), *arc((0.5, 1.45), (0.5, 0.55), 0, 180),
           (0.0, 0.55)]],
    "3": [[(0.0, 0.28), *arc((0.46, 0.5), (0.5, 0.5), 215, 450)],
          [*arc((0.46, 1.46), (0.54, 0.54), -90, 150), (0.0, 1.72)]],
    "5": [[(0.92, 0.0), (0.12, 0.0), (0.06, 0.92), *arc((0.46, 1.38), (0.54, 0.62), 235, 510)]],
    "8": [[*arc((0.5, 0.49), (0.44, 0.49), 90, 450)], [*arc((0.5, 1.47), (0.5, 0.53), 90, 450)]],
    "S": [[*arc((0.5, 0.5), (0.5, 0.5), 335, 90), *arc((0.5, 1.5), (0.5, 0.5), -90, 155)]],
    "T": [[(0.0, 0.0), (1.0, 0.0)], [(0.5, 0.0), (0.5, 2.0)]],
    "O": [[*arc((0.5, 0.5), (0.5, 0.5), 180, 360), *arc((0.5, 1.5), (0.5, 0.5), 0, 180),
           (0.0, 0.5)]],
    "P": [[(0.0, 2.0), (0.0, 0.0), (0.45, 0.0), *arc((0.45, 0.54), (0.55, 0.54), -90, 90),
           (0.0, 1.08)]],
}  # fmt: skip


def text(x, y, letters: str, height: float, width: float, gap: float, weight: float) -> np.ndarray:
    """Mask of a line of letters around the origin.

    Args:
        x: Coordinates.
        y: Coordinates.
        letters: Characters of GLYPHS.
        height: Of a letter, from stroke middle to stroke middle.
        width: Of a letter, likewise.
        gap: Between the boxes of two letters.
        weight: Width of the strokes.
    """
    mask = np.zeros(x.shape, dtype=bool)
    left = -(len(letters) * width + (len(letters) - 1) * gap) / 2
    for letter in letters:
        for line in GLYPHS[letter]:
            points = [(left + a * width, (b / 2 - 0.5) * height) for a, b in line]
            mask |= stroke(x, y, points, weight)
        left += width + gap
    return mask


def union(masks: Iterable[np.ndarray]) -> np.ndarray:
    """Where any of the masks is."""
    return np.logical_or.reduce(list(masks))


def _tip(angle: float, inner: float, sides: int) -> tuple[float, float]:
    reach, half = inner / np.cos(np.pi / sides), np.pi / sides
    return float(reach * np.cos(angle + half)), float(reach * np.sin(angle + half))


def _near(line: np.ndarray, a: float, b: float, width: float) -> slice:
    """The part of a coordinate axis that lies between a and b or less than a width away."""
    where = np.flatnonzero((line >= min(a, b) - width) & (line <= max(a, b) + width))
    return slice(where[0], where[-1] + 1) if len(where) else slice(0, 0)


def _to_segment(x, y, p: tuple[float, float], q: tuple[float, float]) -> np.ndarray:
    """Distance of each point from the line from p to q."""
    dx, dy = q[0] - p[0], q[1] - p[1]
    length = dx * dx + dy * dy
    along = 0.0 if length == 0 else np.clip(((x - p[0]) * dx + (y - p[1]) * dy) / length, 0, 1)
    return np.hypot(x - p[0] - along * dx, y - p[1] - along * dy)
