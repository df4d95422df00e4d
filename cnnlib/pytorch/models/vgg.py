"""VGG 11 to 19 from one table, with or without batch normalisation, and a small one for 32x32."""

from collections.abc import Sequence

import torch
from torch import nn

from cnnlib.pytorch.models._common import check_images, check_options, he_initialise

# Numbers are 3x3 convolutions with that many channels, "M" is a 2x2 max-pooling. The letters are
# the columns of the paper's table 1 (C, with 1x1 kernels, is not among torchvision's).
CONFIGURATIONS: dict[str, tuple[int | str, ...]] = {
    "vgg11": (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),  # A
    "vgg13": (64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),  # B
    "vgg16": (64, 64, "M", 128, 128, "M", 256, 256, 256, "M")  # D
    + (512, 512, 512, "M") * 2,
    "vgg19": (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M")  # E
    + (512, 512, 512, 512, "M") * 2,
}
# For 32x32 pixels: three poolings leave 4x4.
SMALL_VGG: tuple[int | str, ...] = (32, "M", 64, 64, "M", 128, 128, "M", 224, 224)


def make_features(
    table: Sequence[int | str],
    *,
    in_channels: int = 3,
    batch_norm: bool = False,
    bias: bool = True,
    width: float = 1.0,
) -> nn.Sequential:
    """The convolutional part of a VGG.

    Args:
        table: Channels of each 3x3 convolution in order, "M" for each 2x2 max-pooling.
        in_channels: Of the images.
        batch_norm: Whether a BatchNorm2d stands between each convolution and its ReLU.
        bias: Whether convolutions have one (batch normalisation makes it superfluous).
        width: Multiplies all channels, rounded, at least 1.

    Raises:
        ValueError: If the table holds anything else or width is not positive.
    """
    if not width > 0:
        raise ValueError(f"make_features: width must be positive, got {width!r}")
    layers: list[nn.Module] = []
    channels = in_channels
    for entry in table:
        if entry == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        if not isinstance(entry, int) or entry < 1:
            raise ValueError(f"make_features: {entry!r} is neither a number of channels nor 'M'")
        out = max(1, round(entry * width))
        layers.append(nn.Conv2d(channels, out, 3, padding=1, bias=bias))
        if batch_norm:
            layers.append(nn.BatchNorm2d(out))
        layers.append(nn.ReLU(inplace=True))
        channels = out
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """VGG: 3x3 convolutions, five poolings, three dense layers.

    Args:
        name: "vgg11", "vgg13", "vgg16" or "vgg19".
        classes: Outputs.
        batch_norm: Whether every convolution is followed by batch normalisation.
        width: Multiplies all channels and the two hidden dense layers of 4096.
        dropout: Probability in the two hidden dense layers, in training.
        in_channels: Of the images.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W) with
            H, W at least 32.

    Source: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", 2015, table 1. ``state_dict`` keys as in torchvision.
    """

    def __init__(
        self,
        name: str = "vgg16",
        classes: int = 1000,
        *,
        batch_norm: bool = False,
        width: float = 1.0,
        dropout: float = 0.5,
        in_channels: int = 3,
    ):
        super().__init__()
        check_options(name, classes, in_channels, dropout)
        if name not in CONFIGURATIONS:
            raise ValueError(f"VGG: name must be one of {', '.join(CONFIGURATIONS)}, got {name!r}")
        self.name, self.in_channels = name + "_bn" * batch_norm, in_channels
        table = CONFIGURATIONS[name]
        self.features = make_features(
            table, in_channels=in_channels, batch_norm=batch_norm, width=width
        )
        # Identity on the 7x7 that 224x224 leave; makes other sizes possible.
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        channels, hidden = max(1, round(512 * width)), max(1, round(4096 * width))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 7 * 7, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )
        he_initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        check_images(self.name, x, self.in_channels, least=32)
        x = self.features(x)  # (N, 512, 7, 7) for 224x224
        x = self.avgpool(x)  # (N, 512, 7, 7)
        x = torch.flatten(x, 1)  # (N, 25088)
        return self.classifier(x)


class SmallVGG(nn.Module):
    """A VGG for 32x32 colour images: batch normalisation, one global mean per map, one dense layer.

    Less than a million parameters; weights trained on CIFAR-10 travel with the package.

    Args:
        classes: Outputs.
        dropout: Probability before the dense layer, in training.
        in_channels: Of the images.

    Attributes:
        features: Convolutions, batch normalisations, ReLUs, poolings, from the table ``SMALL_VGG``.
        pool: The mean of each map.
        classifier: Flatten, dropout and the dense layer.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W) with
            H, W at least 8.
    """

    def __init__(self, classes: int = 10, dropout: float = 0.0, *, in_channels: int = 3):
        super().__init__()
        check_options("small_vgg", classes, in_channels, dropout)
        self.in_channels = in_channels
        self.features = make_features(
            SMALL_VGG, in_channels=in_channels, batch_norm=True, bias=False
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        channels = next(entry for entry in reversed(SMALL_VGG) if isinstance(entry, int))
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, classes)
        )
        he_initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        check_images("small_vgg", x, self.in_channels, least=2 ** SMALL_VGG.count("M"))
        return self.classifier(self.pool(self.features(x)))
