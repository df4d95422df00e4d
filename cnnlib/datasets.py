"""Data that needs no download: handwritten digits, three photographs; and mini-batches."""

from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

import numpy as np

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
        ValueError: If size is not a positive int.
        ImportError: If scikit-learn is missing.

    Source: Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, UCI repository.
    """
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"digits: size must be a positive int, got {size!r}")
    scans = _optional("sklearn.datasets", "scikit-learn", "digits").load_digits()
    order = np.random.default_rng(0).permutation(len(scans.target))
    to_size = _interpolation(8, size)  # (size, 8)
    x = to_size @ (scans.images[order] / 16.0) @ to_size.T  # (1797, size, size)
    # Interpolation is an average, but its rounding may leave [0, 1] by one unit in the last place.
    x = np.clip(x, 0.0, 1.0)[:, None].astype(dtype)  # (1797, 1, size, size)
    y = scans.target[order].astype(np.int64)
    return Split(x[:TRAIN_DIGITS], y[:TRAIN_DIGITS], x[TRAIN_DIGITS:], y[TRAIN_DIGITS:])


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
