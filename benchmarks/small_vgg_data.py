"""Pictures for pretrain_small_vgg.py: decoded once, normalised, augmented in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from cnnlib.pytorch import data

SIZE = 32


class Images(NamedTuple):
    """All pictures in memory: bytes x (N, 3, 32, 32), labels y (N,), names of the classes."""

    x: torch.Tensor
    y: torch.Tensor
    classes: list[str]

    def part(self, indices: torch.Tensor) -> Images:
        return Images(self.x[indices], self.y[indices], self.classes)


def read(split: str, folder: str | None, torchvision: str | None) -> Images:
    """Decode every picture of "train" or "val" once.

    Of one that is not square the middle is taken. Files that cannot be read are left out and
    reported, as by :func:`data.image_folder`.

    Args:
        split: "train" or "val".
        folder: With ``train/<class>/`` and ``val/<class>/``; or None, and
        torchvision: the folder of torchvision's CIFAR-10, whose test part is then "val".
    """

    def to_bytes(picture: Any) -> np.ndarray:
        side = min(picture.size)
        if picture.size != (side, side):
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            picture = picture.crop((left, top, left + side, top + side))
        if side != SIZE:
            picture = picture.resize((SIZE, SIZE), 2)  # bilinear
        return np.asarray(picture)

    if folder:
        dataset = data.image_folder(Path(folder) / split, to_bytes)
    else:
        dataset = data.torchvision_dataset("cifar10", torchvision, split == "train", to_bytes)
    x = torch.from_numpy(np.stack([dataset[i][0] for i in range(len(dataset))]))
    y = torch.tensor([int(label) for label in dataset.targets])
    return Images(x.permute(0, 3, 1, 2).contiguous(), y, list(dataset.classes))


def hold_out(images: Images, share: float) -> tuple[Images, Images]:
    """The images to train on, and the same share of each class to judge recipes by."""
    labels, held = images.y.numpy(), np.zeros(len(images.y), dtype=bool)
    for label in range(len(images.classes)):
        members = np.flatnonzero(labels == label)
        # Raw bits, unlike NumPy's shuffles, are promised to stay the same in all its versions.
        bits = np.random.PCG64(np.random.SeedSequence((0, label))).random_raw(len(members))
        kept = round((1 - share) * len(members))
        held[members[np.argsort(bits, kind="stable")[kept:]]] = True
    return images.part(torch.from_numpy(~held)), images.part(torch.from_numpy(held))


def normalise(x: torch.Tensor) -> torch.Tensor:
    """Bytes (N, 3, H, W) to numbers with about mean 0 and variance 1 per channel."""
    mean = torch.tensor(data.CIFAR10_MEAN).view(3, 1, 1)
    std = torch.tensor(data.CIFAR10_STD).view(3, 1, 1)
    return ((x / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def augment(
    x: torch.Tensor, flip: torch.Tensor, reach: int, generator: torch.Generator
) -> torch.Tensor:
    """Mirror the chosen images and shift each by up to ``reach`` pixels; edges reflect."""
    x = torch.where(flip[:, None, None, None], x.flip(3), x)
    wide = F.pad(x, (reach,) * 4, mode="reflect")
    corners = torch.randint(0, 2 * reach + 1, (len(x), 2), generator=generator).tolist()
    return torch.stack(
        [image[:, i : i + SIZE, j : j + SIZE] for image, (i, j) in zip(wide, corners, strict=True)]
    )


def cutout(x: torch.Tensor, side: int, generator: torch.Generator) -> torch.Tensor:
    """Set a square in each image x (N, C, H, W) to 0, the mean; it may stick out at the edges.

    Source: T. DeVries and G. Taylor, "Improved Regularization of Convolutional Neural Networks with
    Cutout", 2017.
    """
    count, _, height, width = x.shape
    top = torch.randint(1 - side, height, (count, 1), generator=generator)
    left = torch.randint(1 - side, width, (count, 1), generator=generator)
    row, column = torch.arange(height), torch.arange(width)
    inside_rows = (row >= top) & (row < top + side)  # (N, H)
    inside_columns = (column >= left) & (column < left + side)  # (N, W)
    hidden = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return x.masked_fill(hidden, 0.0)
