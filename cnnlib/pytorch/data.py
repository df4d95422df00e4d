"""Pictures for training: data sets, their split, transforms and loaders.

>>> from cnnlib.pytorch import data
>>> signs = data.road_signs_dataset(28, seed=0)
>>> for images, labels in data.loader(signs, 14, shuffle=True):
...     print(tuple(images.shape), tuple(labels.shape))
(14, 3, 32, 32) (14,)
(14, 3, 32, 32) (14,)
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Subset

from cnnlib import datasets
from cnnlib.pytorch._downloads import cache_folder, torchvision_dataset
from cnnlib.pytorch._images import ImageFolder, open_rgb
from cnnlib.pytorch._loading import EpochSampler, Loader, loader
from cnnlib.pytorch._transforms import (
    CIFAR10_MEAN,
    CIFAR10_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    eval_transform,
    train_transform,
)

__all__ = [
    "CIFAR10_MEAN",
    "CIFAR10_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "ArrayDataset",
    "EpochSampler",
    "ImageFolder",
    "Loader",
    "Part",
    "cache_folder",
    "digits_dataset",
    "eval_transform",
    "image_folder",
    "loader",
    "open_rgb",
    "road_signs_dataset",
    "split",
    "torchvision_dataset",
    "train_transform",
]

Transform = Callable[[Any], Any]


class ArrayDataset(Dataset):
    """Images and labels in memory.

    Args:
        x: Bytes (N, C, H, W).
        y: Labels (N,).
        classes: Name of each class.
        transform: Called with each image, a uint8 tensor (C, H, W); None gives float32 in [0, 1].

    Raises:
        TypeError: If x is no array of uint8, or the labels are no integers.
        ValueError: If x has other than four axes, x and y differ in length, or a label names no
            class.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        classes: Sequence[str],
        transform: Transform | None = None,
    ):
        if not isinstance(x, np.ndarray) or x.dtype != np.uint8:
            kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise TypeError(f"ArrayDataset: x must be a NumPy array of uint8, got {kind}")
        if x.ndim != 4:
            raise ValueError(f"ArrayDataset: x must have the shape (N, C, H, W), got {x.shape}")
        y = np.asarray(y)
        if y.shape != (len(x),):
            raise ValueError(f"ArrayDataset: {len(x)} images need as many labels, got {y.shape}")
        if y.dtype.kind not in "iu":
            raise TypeError(f"ArrayDataset: labels must be integers, got {y.dtype}")
        _check_labels("ArrayDataset", y, len(classes))
        self.x, self.classes, self.transform = torch.from_numpy(x), list(classes), transform
        self.night: np.ndarray | None = None
        self.targets = [int(label) for label in y]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.x[index]
        if self.transform is None:
            return image.to(torch.float32) / 255, self.targets[index]
        return self.transform(image), self.targets[index]


def _check_labels(caller: str, labels: np.ndarray, classes: int) -> None:
    wrong = np.setdiff1d(labels, np.arange(classes))
    if len(wrong):
        raise ValueError(f"{caller}: label {wrong[0]} names none of the {classes} classes")


def road_signs_dataset(
    n: int, seed: int, split: str = "train", transform: Transform | None = None, **options: Any
) -> ArrayDataset:
    """Drawn road signs; arguments and ``options`` as in :func:`cnnlib.datasets.road_signs`.

    Its ``night`` (N,) says which images were taken at night.
    """
    signs = datasets.road_signs(n, seed, split=split, dtype=np.uint8, **options)
    dataset = ArrayDataset(signs.x, signs.y, datasets.ROAD_SIGNS, transform)
    dataset.night = signs.night
    return dataset


def digits_dataset(
    split: str = "train", transform: Transform | None = None, *, size: int = 28
) -> ArrayDataset:
    """Handwritten digits, split as in :func:`cnnlib.datasets.digits`: ``"train"`` or ``"test"``.

    Raises:
        ValueError: If split is another word.
    """
    if split not in ("train", "test"):
        raise ValueError(f"digits_dataset: split must be 'train' or 'test', got {split!r}")
    scans = datasets.digits(size)
    x, y = (scans.x_train, scans.y_train) if split == "train" else (scans.x_test, scans.y_test)
    return ArrayDataset(
        np.rint(x * 255).astype(np.uint8), y, [str(k) for k in range(10)], transform
    )


def image_folder(
    root: str | Path, transform: Transform | None = None, *, check: bool = True
) -> ImageFolder:
    """The pictures in ``root/<class>/``, of any size and format, as RGB; see :func:`open_rgb`.

    A file that is no image, or a truncated one, is skipped, counted and reported: in ``.skipped``
    and as a warning of the logger ``cnnlib.data``. Hidden files are not looked at.

    Args:
        root: Folder with one folder per class; these may have folders of their own.
        transform: Called with each picture (PIL, RGB); None gives the picture.
        check: Read every file once, now. False goes by the files' names and is quick for a large
            collection that is known to be sound; a bad file then raises when its turn comes.

    Raises:
        ValueError: If root is no folder or has no class folders, or a class folder has no image
            that can be read; the message names the folder.
    """
    return ImageFolder(root, transform, check=check)


class Part(Subset):
    """Some samples of a data set, with a transform of their own on top of the data set's."""

    def __init__(self, dataset: Any, indices: Sequence[int], transform: Transform | None = None):
        super().__init__(dataset, list(indices))
        self.transform = transform
        self.classes = dataset.classes
        labels = dataset.targets
        self.targets = [int(labels[i]) for i in self.indices]

    def __getitem__(self, index: Any) -> tuple[Any, int]:
        image, label = self.dataset[self.indices[index]]
        return (image if self.transform is None else self.transform(image)), label

    def __getitems__(self, indices: list[int]) -> list[tuple[Any, int]]:
        return [self[index] for index in indices]


def split(
    dataset: Any,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    transforms: Sequence[Transform | None] | None = None,
) -> list[Part]:
    """Split a data set at random so that each part has each class's share; the same on any machine.

    A share is rounded, but never to nothing: of a small class, each part has at least one image.

    Args:
        dataset: With ``targets`` (labels) and ``classes``.
        fractions: Share of each part; they add up to 1 or less.
        seed: Another seed, another split.
        transforms: One per part, for a data set without a transform of its own: augmentation for
            the first part, none for the others.

    Returns:
        One :class:`Part` for each fraction. No sample is in two of them.

    Raises:
        ValueError: If the fractions do not fit, a label names no class, or a class has fewer images
            than there are parts.
    """
    fractions = [float(f) for f in fractions]
    if not fractions or min(fractions) <= 0 or sum(fractions) > 1 + 1e-9:
        raise ValueError(f"split: fractions must be positive and add up to 1, got {fractions}")
    if transforms is not None and len(transforms) != len(fractions):
        raise ValueError(
            f"split: {len(fractions)} fractions need as many transforms, got {len(transforms)}"
        )
    labels = np.asarray(dataset.targets)
    _check_labels("split", labels, len(dataset.classes))
    parts: list[list[int]] = [[] for _ in fractions]
    for label, name in enumerate(dataset.classes):
        members = np.flatnonzero(labels == label)
        bits = np.random.PCG64(np.random.SeedSequence((label, seed)))
        members = members[np.argsort(bits.random_raw(len(members)), kind="stable")]
        if len(members) < len(parts):
            raise ValueError(
                f"split: class {name!r} has {len(members)} images, too few for a share of each in "
                f"{len(parts)} parts"
            )
        stops = _stops(np.rint(np.cumsum(fractions) * len(members)).astype(int), len(members))
        starts = np.concatenate([[0], stops[:-1]])
        for part, start, stop in zip(parts, starts, stops, strict=True):
            part += members[start:stop].tolist()
    chosen = transforms if transforms is not None else [None] * len(parts)
    return [Part(dataset, sorted(p), t) for p, t in zip(parts, chosen, strict=True)]


def _stops(stops: np.ndarray, count: int) -> np.ndarray:
    """Move the ends of parts as little as needed for each part to have one of ``count`` images."""
    least = np.arange(1, len(stops) + 1)
    moved = np.maximum.accumulate(np.maximum(stops - least, 0)) + least
    return np.minimum(moved, count - len(stops) + least)
