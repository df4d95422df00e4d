"""From a picture to the tensor that a network takes, with augmentation for training."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torchvision.transforms import v2

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of red, green and blue of ImageNet's training images, as in torchvision."""

CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""The same of CIFAR-10's 50,000 training images."""


def train_transform(
    size: int,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    scale: tuple[float, float] = (0.35, 1.0),
    flip: bool = True,
    rotation: float = 0.0,
    colour: float = 0.0,
) -> v2.Compose:
    """From a picture (PIL or uint8 tensor) to a normalised tensor (3, size, size), augmented.

    Args:
        size: Height and width of the result.
        mean: Of each channel, taken away after scaling to [0, 1].
        std: Of each channel, divided by.
        scale: Share of the picture's area that a random crop keeps; (1, 1): no crop.
        flip: Mirror half of the pictures. Never for signs, letters or anything with a left and
            a right.
        rotation: Turn by up to so many degrees either way.
        colour: Change brightness, contrast and saturation by up to this factor either way, 0 to 1.
    """
    steps: list[Any] = [v2.ToImage()]
    if rotation:
        bilinear = v2.InterpolationMode.BILINEAR
        steps.append(v2.RandomRotation(rotation, interpolation=bilinear))
    if tuple(scale) == (1, 1):
        steps.append(v2.Resize((size, size), antialias=True))
    else:
        steps.append(v2.RandomResizedCrop(size, scale=scale, antialias=True))
    if flip:
        steps.append(v2.RandomHorizontalFlip())
    if colour:
        steps.append(v2.ColorJitter(colour, colour, colour))
    return v2.Compose([*steps, *_normalise(mean, std)])


def eval_transform(
    size: int,
    *,
    resize: int | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    interpolation: str = "bilinear",
) -> v2.Compose:
    """From a picture to a normalised tensor (3, size, size), always the same one.

    Args:
        size: Height and width of the square cut from the middle.
        resize: Length of the picture's shorter side before that; None: 8/7 of size as for ImageNet
            (256 for 224), but size itself up to 64 pixels.
        mean: Of each channel, taken away after scaling to [0, 1].
        std: Of each channel, divided by.
        interpolation: How to resize, one of ``v2.InterpolationMode``'s values.
    """
    if resize is None:
        resize = size if size <= 64 else round(size * 256 / 224)
    resized = v2.Resize(resize, v2.InterpolationMode(interpolation), antialias=True)
    steps = [v2.ToImage(), CropEnds(4 + math.ceil(size / resize)), resized, v2.CenterCrop(size)]
    return v2.Compose([*steps, *_normalise(mean, std)])


class CropEnds(nn.Module):
    """Cut whole squares off both ends of a picture that is far longer than wide.

    Resized by its shorter side, a picture of 40,000 x 2 pixels would have over a thousand million
    of them, of which a square in the middle is kept. With whole squares the middle stays where it
    was, and all that changes is the rounding of the longer side's length.

    Args:
        squares: The result is at least so many times as long as wide, and less than four more. To
            be four more than the part that is kept: two at each end are more than any filter sees.
    """

    def __init__(self, squares: int):
        super().__init__()
        self.squares = squares

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(..., H, W) to the same with a shorter H or W; what is short already stays as it is."""
        height, width = image.shape[-2:]
        short, long = sorted((height, width))
        # An even number of squares at each end, or CenterCrop would round its halves otherwise.
        spare = 2 * short * ((long // short - self.squares) // 4)
        if spare <= 0:
            return image
        if width > height:
            return v2.functional.crop(image, 0, spare, height, width - 2 * spare)
        return v2.functional.crop(image, spare, 0, height - 2 * spare, width)

    def extra_repr(self) -> str:
        return f"{self.squares}"


def _normalise(mean: Sequence[float], std: Sequence[float]) -> list[Any]:
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(mean), list(std))]
