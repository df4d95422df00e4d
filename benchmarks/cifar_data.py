"""CIFAR-10 as two tensors: read, or made up for a test; normalised and augmented on the device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

Pictures = tuple[torch.Tensor, torch.Tensor]


def read(folder: Path, split: str) -> Pictures:
    """Read "train" or "val".

    Args:
        folder: holds train/ and val/ with a folder of 32x32 pictures for each class, or
            cifar-10-batches-py as torchvision's CIFAR10 unpacks it (its test part is our "val").
        split: which part.

    Returns:
        Bytes (N, 3, 32, 32) and class numbers (N,); classes in alphabetical order.

    Raises:
        ValueError: there is neither.
    """
    if (folder / split).is_dir():
        from PIL import Image

        kinds = sorted(p for p in (folder / split).iterdir() if p.is_dir())
        files = [(f, label) for label, kind in enumerate(kinds) for f in sorted(kind.iterdir())]
        if not files:
            raise ValueError(f"cifar_data: no pictures in the class folders of {folder / split}")
        images = np.stack([np.asarray(Image.open(f).convert("RGB")) for f, _ in files])
        labels = [label for _, label in files]
    elif (folder / "cifar-10-batches-py").is_dir():
        from torchvision.datasets import CIFAR10

        data = CIFAR10(folder, train=split == "train")
        images, labels = data.data, data.targets
    else:
        raise ValueError(
            f"cifar_data: {folder} has neither {split}/ with class folders nor cifar-10-batches-py/"
        )
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def pretend(split: str) -> Pictures:
    """Noise, with three brighter rows that tell the class."""
    rng, count = np.random.default_rng(len(split)), 1024 if split == "train" else 200
    images = rng.integers(0, 128, (count, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 10, count)
    for row in range(3):
        images[np.arange(count), :, 3 * labels + row] += 127
    return torch.from_numpy(images), torch.from_numpy(labels)


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1 in each channel; on a GPU in half the bytes."""
    m, s = torch.tensor([[0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]], device=images.device)
    x = (images / 255 - m[:, None, None]) / s[:, None, None]
    return x.to(torch.bfloat16) if images.is_cuda else x


def augment(x: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Mirror some pictures and move each by up to two pixels, borders reflected."""
    wide = F.pad(torch.where(mirrored[:, None, None, None], x.flip(3), x), (2,) * 4, "reflect")
    out, moves = torch.empty_like(x), torch.randint(25, (len(x),), device=x.device)
    for move in range(25):
        i, j, here = move // 5, move % 5, (moves == move).nonzero()[:, 0]
        out[here] = wide[here, :, i : i + 32, j : j + 32]
    return out.contiguous(memory_format=torch.channels_last)
