"""What all networks share: the check at the door, He initialisation, counting features."""

import copy

import torch
from torch import nn


def check_options(name: str, classes: int, in_channels: int, dropout: float = 0.0) -> None:
    """Refuse numbers that no network can be built with.

    Raises:
        ValueError: If classes or in_channels is not a positive int, or dropout not in [0, 1).
    """
    for option, value in (("classes", classes), ("in_channels", in_channels)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: {option} must be a positive int, got {value!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"{name}: dropout must be at least 0 and below 1, got {dropout!r}")


def check_images(
    name: str,
    x: torch.Tensor,
    channels: int,
    *,
    least: int = 1,
    size: tuple[int, int] | None = None,
) -> None:
    """Refuse a batch that the network cannot take, before a layer deep inside does.

    Args:
        name: Of the network, for the message.
        x: Should be (N, channels, H, W).
        channels: What the first convolution expects.
        least: Smallest height and width that leave a pixel after all pooling.
        size: The only height and width possible, if the dense layers were made for one.

    Raises:
        ValueError: If the shape is another.
    """
    want = "H, W" if size is None else f"{size[0]}, {size[1]}"
    good = x.ndim == 4 and x.shape[1] == channels
    if not good:
        raise ValueError(f"{name}: x must be (N, {channels}, {want}), got {tuple(x.shape)}")
    height, width = x.shape[2:]
    if size is not None and (height, width) != size:
        raise ValueError(
            f"{name}: built for images of {size[0]}x{size[1]}, got {height}x{width}: "
            "resize them, or build it with another input_size"
        )
    if min(height, width) < least:
        raise ValueError(f"{name}: images must be at least {least}x{least}, got {height}x{width}")


def count_features(name: str, features: nn.Module, input_size: tuple[int, int, int]) -> int:
    """How many numbers per image come out of the convolutional part.

    A copy runs on the meta device: shapes only, no arithmetic. So a dense layer's in_features is
    worked out, never typed.

    Args:
        name: Of the network, for the message.
        features: Layers that take (N, C, H, W).
        input_size: (C, H, W).

    Raises:
        ValueError: If input_size has no three positive numbers or is too small for the layers.
    """
    if len(input_size) != 3 or min(input_size) < 1:
        raise ValueError(f"{name}: input_size must be (channels, height, width), got {input_size}")
    probe = copy.deepcopy(features).to("meta").eval()
    try:
        return probe(torch.empty(1, *input_size, device="meta")).flatten(1).shape[1]
    except RuntimeError as error:
        raise ValueError(f"{name}: images of {input_size} are too small for its layers") from error


def he_initialise(model: nn.Module) -> None:
    """Set convolutions to He-normal by their outputs, dense layers to N(0, 0.01), biases to zero.

    As torchvision does for VGG, and for the convolutions of ResNet.
    Source: He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", 2015, section 2.2.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
