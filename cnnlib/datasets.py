"""Data that needs no download: digits, road signs, three photographs; and mini-batches."""

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import NamedTuple

import numpy as np

from cnnlib import _road_signs
from cnnlib._road_signs import RoadSigns

PHOTOGRAPHS = {
    "china": (
        "Summer Palace, Beijing. Photograph by danielbuechele (Flickr), CC BY 2.0; "
        "ships with scikit-learn as china.jpg"
    ),
    "flower": (
        "Dahlia. Photograph by vultilion (Flickr), CC BY 2.0; ships with scikit-learn as flower.jpg"
    ),
    "grace_hopper": (
        "Commodore Grace M. Hopper, 1984. Official U.S. Navy portrait by James S. Davis, "
        "public domain; ships with matplotlib as grace_hopper.jpg"
    ),
}
"""Name of each photograph, and the credit that has to stand beside it."""

ROAD_SIGNS = _road_signs.NAMES
"""Names of the fourteen classes of :func:`road_signs`; label k is ``ROAD_SIGNS[k]``."""

TRAIN_DIGITS = 1437
"""How many of the 1797 digits are for training; the other 360, a fifth, are for the test."""


class Split(NamedTuple):
    """Images (N, 1, H, W) in [0, 1] and int64 labels (N,), for training and for the test."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def digits(size: int = 28, *, dtype=np.float32) -> Split:
    """Scans of handwritten digits, shuffled and split once and for all.

    1797 real scans of 8x8 pixels with 17 grey levels come with scikit-learn; they are enlarged by
    bilinear interpolation, so ``size=28`` has the shape of MNIST but no more detail than 8x8.

    Args:
        size: Height and width of the images; 8 gives the original scans.
        dtype: Floating type of the images.

    Returns:
        :class:`Split` of 1437 training and 360 test images, (N, 1, size, size) in [0, 1].

    Raises:
        ValueError: If size is not a positive int, or dtype is no floating type.
        ImportError: If scikit-learn is missing.

    Source: Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, UCI repository.
    """
    if not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"digits: size must be a positive int, got {size!r}")
    if np.dtype(dtype).kind != "f":
        raise ValueError(f"digits: dtype must be a floating type, got {np.dtype(dtype)}")
    scans = _optional("sklearn.datasets", "scikit-learn", "digits").load_digits()
    order = np.random.default_rng(0).permutation(len(scans.target))
    to_size = _interpolation(8, size)  # (size, 8)
    x = to_size @ (scans.images[order] / 16.0) @ to_size.T  # (1797, size, size)
    # Interpolation is an average, but its rounding may leave [0, 1] by one unit in the last place.
    x = np.clip(x, 0.0, 1.0)[:, None].astype(dtype)  # (1797, 1, size, size)
    y = scans.target[order].astype(np.int64)
    return Split(x[:TRAIN_DIGITS], y[:TRAIN_DIGITS], x[TRAIN_DIGITS:], y[TRAIN_DIGITS:])


def road_signs(
    n: int,
    seed: int,
    *,
    size: int = 32,
    split: str = "train",
    difficulty: float = 0.5,
    night: bool | None = None,
    dtype=np.float32,
) -> RoadSigns:
    """Pictures of road signs, drawn by code on clutter cut from photographs.

    Fourteen signs in the style of the Vienna Convention, turned, tilted, lit, faded, shaded, partly
    covered, blurred and noisy. Image i depends on the seed and the split alone, not on n: the first
    100 of 1000 are the same as 100. Each class comes once in every 14 images in a row. Takes about
    a millisecond an image at 32x32. Datasheet: ``data/road_signs.md``.

    Args:
        n: How many images.
        seed: A non-negative int.
        size: Height and width in pixels, 16 to 512.
        split: ``"train"``, ``"val"`` or ``"test"``: streams of their own, which never share an
            image, whatever their seeds.
        difficulty: 0 (clean, from the front) to 1.
        night: True: all at night; False: all by day; None: about a quarter at night.
        dtype: A floating type for images in [0, 1], or ``numpy.uint8`` for bytes.

    Returns:
        :class:`RoadSigns`: images (n, 3, size, size), labels (n,), night (n,).

    Raises:
        ValueError: If an argument is out of range.
        ImportError: If scikit-learn or matplotlib, which bring the photographs, is missing.

    Source: Economic Commission for Europe (1968), Convention on Road Signs and Signals, Vienna.
    """
    _check_int("n", n, 0, None)
    _check_int("seed", seed, 0, None)
    _check_int("size", size, 16, 512)
    if split not in _road_signs.SPLITS:
        raise ValueError(f"road_signs: split must be one of {_road_signs.SPLITS}, got {split!r}")
    if not 0 <= difficulty <= 1:
        raise ValueError(f"road_signs: difficulty must be from 0 to 1, got {difficulty!r}")
    if night not in (None, True, False):
        raise ValueError(f"road_signs: night must be True, False or None, got {night!r}")
    dtype = np.dtype(dtype)
    if dtype != np.uint8 and dtype.kind != "f":
        raise ValueError(f"road_signs: dtype must be a floating type or uint8, got {dtype}")
    drawn = _road_signs.draw(n, seed, size, split, difficulty, night, _clutter())
    if dtype == np.uint8:
        return drawn
    return drawn._replace(x=drawn.x.astype(dtype) / dtype.type(255))


def batches(x, y, size: int, rng=None) -> Iterator[tuple]:
    """Mini-batches that cover every sample once; the last one may be smaller.

    Args:
        x: Samples, (N, ...).
        y: Labels, (N,).
        size: Samples per batch.
        rng: A ``numpy.random.Generator`` that shuffles (give the same one to every epoch, and each
            gets another order); None keeps the order.

    Yields:
        ``(x[indices], y[indices])``.

    Raises:
        ValueError: If x and y differ in length or size is not positive, at the call.

    >>> [len(labels) for _, labels in batches(np.zeros((5, 1)), np.zeros(5), 2)]
    [2, 2, 1]
    """
    if len(x) != len(y):
        raise ValueError(f"batches: x has {len(x)} samples but y has {len(y)} labels")
    if not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"batches: size must be a positive int, got {size!r}")
    if rng is not None and not isinstance(rng, np.random.Generator):
        # A seed would give every epoch the same order, unnoticed.
        raise ValueError(f"batches: rng must be a numpy Generator or None, got {rng!r}")
    order = np.arange(len(x)) if rng is None else rng.permutation(len(x))
    chunks = (order[start : start + size] for start in range(0, len(x), size))
    return ((x[chunk], y[chunk]) for chunk in chunks)


def photograph(name: str) -> np.ndarray:
    """A photograph as an array of bytes; its credit is ``PHOTOGRAPHS[name]``.

    Args:
        name: ``"china"`` (427, 640, 3), ``"flower"`` (427, 640, 3) or
            ``"grace_hopper"`` (600, 512, 3).

    Returns:
        Array (H, W, 3), uint8, red, green, blue.

    Raises:
        ValueError: If there is no photograph of that name.
        ImportError: If scikit-learn (or matplotlib) is missing.
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f"photograph: {name!r} is not one of {', '.join(PHOTOGRAPHS)}")
    if name == "grace_hopper":
        samples = _optional("matplotlib.cbook", "matplotlib", "photograph")
        image = _optional("matplotlib.image", "matplotlib", "photograph")
        return np.array(image.imread(samples.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    loader = _optional("sklearn.datasets", "scikit-learn", "photograph")
    return np.array(loader.load_sample_image(f"{name}.jpg"))


@lru_cache(maxsize=1)
def _clutter():
    return _road_signs.atlas([photograph(name) for name in PHOTOGRAPHS])


def _check_int(name: str, value, low: int, high: int | None) -> None:
    right = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not right or value < low or (high is not None and value > high):
        limits = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"road_signs: {name} must be an int {limits}, got {value!r}")


def _interpolation(n: int, size: int) -> np.ndarray:
    """The matrix (size, n) that resizes n samples linearly; pixels are areas, not points."""
    centres = (np.arange(size) + 0.5) * (n / size) - 0.5
    centres = np.clip(centres, 0, n - 1)
    left = np.floor(centres).astype(int)
    right = np.minimum(left + 1, n - 1)
    matrix = np.zeros((size, n))
    rows = np.arange(size)
    matrix[rows, left] += 1 - (centres - left)
    matrix[rows, right] += centres - left
    return matrix


def _optional(module: str, package: str, caller: str):
    """A library that only this function needs, imported when it is needed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{caller} needs {package}, which is not installed: pip install {package}"
        ) from error
