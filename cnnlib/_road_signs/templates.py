"""The fourteen signs, each drawn once, flat and from the front, by plain shapes."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from cnnlib._road_signs.shapes import (
    arc,
    arrow_head,
    canvas,
    disc,
    polygon,
    regular,
    stroke,
    text,
    union,
)

NAMES = (
    "stop",
    "yield",
    "no_entry",
    "speed_30",
    "speed_50",
    "speed_80",
    "priority_road",
    "right_curve",
    "pedestrians",
    "road_works",
    "turn_left",
    "turn_right",
    "roundabout",
    "parking",
)
"""Names of the classes: label k is ``NAMES[k]``."""

EXTENT = 1.06
"""Half the width of the canvas: the signs have a radius of about 1."""

RED, BLUE = (0.76, 0.05, 0.08), (0.03, 0.25, 0.62)
YELLOW, WHITE, BLACK = (0.98, 0.76, 0.05), (0.95, 0.95, 0.94), (0.06, 0.06, 0.07)

MOST_PIXELS = 256
OVERSAMPLING = 4  # of the canvas on which the shapes are drawn; of the largest one half of it

Layers = list[tuple[np.ndarray, tuple[float, float, float]]]  # painted in this order


@lru_cache(maxsize=4)
def templates(size: int) -> np.ndarray:
    """All signs as pictures with premultiplied alpha.

    Args:
        size: Pixels of the canvas, which reaches from -EXTENT to EXTENT.

    Returns:
        Array (K, size, size, 4), float32, read-only: red, green, blue, alpha; outside a sign 0.
    """
    times = OVERSAMPLING if size < MOST_PIXELS else OVERSAMPLING // 2
    x, y = canvas(size * times, EXTENT)
    pictures = np.stack([_flatten(DRAWERS[name](x, y), size) for name in NAMES])
    pictures.flags.writeable = False
    return pictures


def _flatten(layers: Layers, size: int) -> np.ndarray:
    """Paint the layers over each other, then average each block of fine pixels."""
    times = len(layers[0][0]) // size
    picture = np.zeros((*layers[0][0].shape, 4), dtype=np.float32)
    for mask, colour in layers:
        picture[mask] = (*colour, 1.0)
    return picture.reshape(size, times, size, times, 4).mean(axis=(1, 3), dtype=np.float32)


def _stop(x, y) -> Layers:
    return [
        (regular(x, y, 8, 0.97, 0, 0.04), WHITE),
        (regular(x, y, 8, 0.91, 0, 0.03), RED),
        (text(x, y, "STOP", 0.56, 0.25, 0.155, 0.11), WHITE),
    ]


def _warning(x, y, pictogram: np.ndarray) -> Layers:
    """A triangle on its base with a red border."""
    low = y - 0.28  # the middle of the inscribed circle lies below that of the canvas
    return [
        (regular(x, low, 3, 0.64, 90, 0.12), WHITE),
        (regular(x, low, 3, 0.61, 90, 0.11), RED),
        (regular(x, low, 3, 0.42, 90, 0.05), WHITE),
        (pictogram, BLACK),
    ]


def _yield(x, y) -> Layers:
    high = y + 0.28
    return [
        (regular(x, high, 3, 0.64, -90, 0.12), WHITE),
        (regular(x, high, 3, 0.61, -90, 0.11), RED),
        (regular(x, high, 3, 0.36, -90, 0.05), WHITE),
    ]


def _no_entry(x, y) -> Layers:
    bar = (np.abs(x) <= 0.72) & (np.abs(y) <= 0.17)
    return [(disc(x, y, (0, 0), 0.98), WHITE), (disc(x, y, (0, 0), 0.94), RED), (bar, WHITE)]


def _speed(x, y, number: str) -> Layers:
    return [
        (disc(x, y, (0, 0), 0.98), WHITE),
        (disc(x, y, (0, 0), 0.95), RED),
        (disc(x, y, (0, 0), 0.74), WHITE),
        (text(x, y, number, 0.66, 0.32, 0.24, 0.15), BLACK),
    ]


def _priority_road(x, y) -> Layers:
    return [
        (regular(x, y, 4, 0.72, 45, 0.08), BLACK),
        (regular(x, y, 4, 0.70, 45, 0.07), WHITE),
        (regular(x, y, 4, 0.47, 45, 0.05), BLACK),
        (regular(x, y, 4, 0.45, 45, 0.04), YELLOW),
    ]


def _right_curve(x, y) -> Layers:
    path = [(-0.13, 0.60), (-0.13, 0.34), *arc((0.06, 0.30), (0.19, 0.19), 180, 262)]
    path += [*arc((0.06, -0.02), (0.13, 0.13), 80, 20)]
    arrow = stroke(x, y, path, 0.13) | polygon(x, y, arrow_head((0.16, -0.26), -88, 0.27, 0.34))
    return _warning(x, y, arrow)


def _pedestrians(x, y) -> Layers:
    parts = [
        disc(x, y, (0.03, -0.22), 0.088),
        stroke(x, y, [(0.0, -0.04), (-0.02, 0.22)], 0.17),  # trunk
        stroke(x, y, [(-0.02, 0.24), (0.10, 0.40), (0.12, 0.58)], 0.085),  # leg in front
        stroke(x, y, [(-0.03, 0.24), (-0.10, 0.42), (-0.25, 0.56)], 0.085),  # leg behind
        stroke(x, y, [(0.03, -0.06), (0.14, 0.10), (0.25, 0.12)], 0.065),
        stroke(x, y, [(-0.04, -0.06), (-0.16, 0.08), (-0.18, 0.20)], 0.065),
    ]
    return _warning(x, y, union(parts))


def _road_works(x, y) -> Layers:
    heap = [(0.10, 0.60), (0.18, 0.46), (0.27, 0.37), (0.36, 0.44), (0.47, 0.60)]
    parts = [
        disc(x, y, (0.05, -0.15), 0.085),
        stroke(x, y, [(-0.02, -0.02), (-0.16, 0.20)], 0.16),  # bent back
        stroke(x, y, [(-0.16, 0.22), (-0.06, 0.38), (-0.10, 0.58)], 0.085),
        stroke(x, y, [(-0.18, 0.22), (-0.26, 0.40), (-0.36, 0.58)], 0.085),
        stroke(x, y, [(0.0, -0.02), (0.06, 0.14), (-0.06, 0.24)], 0.06),  # arms
        stroke(x, y, [(-0.14, 0.10), (0.26, 0.44)], 0.045),  # shovel
        polygon(x, y, heap),
    ]
    return _warning(x, y, union(parts))


def _turn_right(x, y) -> Layers:
    path = [(-0.34, 0.62), (-0.34, 0.10), *arc((-0.06, 0.10), (0.28, 0.28), 180, 270)]
    path += [(0.22, -0.18)]
    arrow = stroke(x, y, path, 0.22) | polygon(x, y, arrow_head((0.70, -0.18), 0, 0.48, 0.72))
    return _blue_disc(x, y, arrow)


def _turn_left(x, y) -> Layers:
    return _turn_right(-x, y)


def _roundabout(x, y) -> Layers:
    """Three arrows that chase each other anticlockwise, as traffic keeps to the right."""
    parts = []
    for start in (90, 210, 330):
        parts.append(stroke(x, y, arc((0, 0), (0.50, 0.50), start - 8, start - 66), 0.17))
        a = np.deg2rad(start - 104)
        tip = (float(0.52 * np.cos(a)), float(0.52 * np.sin(a)))
        parts.append(polygon(x, y, arrow_head(tip, start - 104 - 72, 0.34, 0.44)))
    return _blue_disc(x, y, union(parts))


def _blue_disc(x, y, pictogram: np.ndarray) -> Layers:
    return [
        (disc(x, y, (0, 0), 0.98), WHITE),
        (disc(x, y, (0, 0), 0.93), BLUE),
        (pictogram, WHITE),
    ]


def _parking(x, y) -> Layers:
    return [
        (regular(x, y, 4, 0.88, 0, 0.10), WHITE),
        (regular(x, y, 4, 0.83, 0, 0.08), BLUE),
        (text(x - 0.02, y, "P", 1.0, 0.46, 0.0, 0.22), WHITE),
    ]


DRAWERS: dict[str, Callable[[np.ndarray, np.ndarray], Layers]] = {
    "stop": _stop,
    "yield": _yield,
    "no_entry": _no_entry,
    "speed_30": lambda x, y: _speed(x, y, "30"),
    "speed_50": lambda x, y: _speed(x, y, "50"),
    "speed_80": lambda x, y: _speed(x, y, "80"),
    "priority_road": _priority_road,
    "right_curve": _right_curve,
    "pedestrians": _pedestrians,
    "road_works": _road_works,
    "turn_left": _turn_left,
    "turn_right": _turn_right,
    "roundabout": _roundabout,
    "parking": _parking,
}
