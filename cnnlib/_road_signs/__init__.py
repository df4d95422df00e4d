"""Road signs drawn by code: shapes, templates, scenes and their rendering, in NumPy."""

from typing import NamedTuple

import numpy as np

from cnnlib._road_signs.render import Atlas, atlas, render
from cnnlib._road_signs.scene import choose
from cnnlib._road_signs.streams import Stream
from cnnlib._road_signs.templates import NAMES

__all__ = ["NAMES", "SPLITS", "RoadSigns", "atlas", "draw"]

SPLITS = ("train", "val", "test")
AT_ONCE = 16 * 32 * 32  # pixels per portion: they fit the processor's cache


class RoadSigns(NamedTuple):
    """Images (N, 3, H, W) in [0, 1], int64 labels (N,), and which were taken at night (N,)."""

    x: np.ndarray
    y: np.ndarray
    night: np.ndarray


def draw(
    n: int,
    seed: int,
    size: int,
    split: str,
    difficulty: float,
    night: bool | None,
    photographs: Atlas,
) -> RoadSigns:
    """Draw n signs as bytes; arguments as in ``datasets.road_signs``."""
    # The seed comes last: it alone may take more than one word of the key.
    classes, choices, grain = (Stream(SPLITS.index(split), k, seed) for k in range(3))
    labels = _labels(n, classes)
    x = np.empty((n, 3, size, size), dtype=np.uint8)
    dark = np.empty(n, dtype=bool)
    portion = max(1, AT_ONCE // size**2)
    for start in range(0, n, portion):
        stop = min(start + portion, n)
        scenes = choose(stop - start, choices, difficulty, night)
        values = 3 * size * size
        noise = grain.bell(stop - start, values + values % 2)[:, :values]
        noise = noise.reshape(-1, size, size, 3)
        pictures = render(labels[start:stop], scenes, noise, photographs, size)
        x[start:stop] = pictures.transpose(0, 3, 1, 2)
        dark[start:stop] = scenes.night
    return RoadSigns(x, labels, dark)


def _labels(n: int, stream: Stream) -> np.ndarray:
    """Classes in random order, each once in every len(NAMES) images in a row."""
    rounds = -(-n // len(NAMES))
    order = np.argsort(stream.raw(rounds, len(NAMES)), axis=1, kind="stable")
    return order.reshape(-1)[:n].astype(np.int64)
