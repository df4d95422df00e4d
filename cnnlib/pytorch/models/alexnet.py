"""AlexNet: in one tower, in two halves as in its paper, and cut down for 28x28."""

import torch
from torch import nn

from cnnlib.pytorch.models._common import check_images, check_options, count_features


class AlexNet(nn.Module):
    """AlexNet in one tower: five convolutions, three dense layers, 61,100,840 parameters.

    Args:
        classes: Outputs.
        dropout: Probability before the first two dense layers, in training.
        in_channels: Of the images.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W) with
            H, W at least 63.

    Source: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.
    ``state_dict`` keys as in torchvision.
    """

    def __init__(self, classes: int = 1000, *, dropout: float = 0.5, in_channels: int = 3):
        super().__init__()
        check_options("alexnet", classes, in_channels, dropout)
        self.in_channels = in_channels
        self.features = nn.Sequential(  # (N, 3, 224, 224)
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),  # (N, 64, 55, 55)
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # (N, 64, 27, 27)
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # (N, 192, 13, 13)
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # (N, 256, 6, 6)
        )
        # Identity on 6x6; makes other sizes possible.
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = _head(256 * 6 * 6, 4096, classes, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        check_images("alexnet", x, self.in_channels, least=63)
        x = self.avgpool(self.features(x))  # (N, 256, 6, 6)
        return self.classifier(torch.flatten(x, 1))


class AlexNet2012(nn.Module):
    """AlexNet as its paper describes it: 227x227, two halves, local response normalisation.

    The two halves stood on two GPUs; where they did not talk to each other, ``groups=2`` says so.
    60,965,224 parameters, the paper's "60 million".

    Args:
        classes: Outputs.
        dropout: Probability before the first two dense layers, in training.
        in_channels: Of the images.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, 227, 227).

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", 2012, section 3.5. (It says 224x224, which leaves no 55 = (227 - 11) / 4 + 1.)
    """

    def __init__(self, classes: int = 1000, *, dropout: float = 0.5, in_channels: int = 3):
        super().__init__()
        check_options("alexnet_2012", classes, in_channels, dropout)
        self.in_channels = in_channels
        self.features = nn.Sequential(  # (N, 3, 227, 227)
            nn.Conv2d(in_channels, 96, 11, stride=4),  # (N, 96, 55, 55)
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),  # torch divides alpha by 5
            nn.MaxPool2d(3, stride=2),  # (N, 96, 27, 27)
            nn.Conv2d(96, 256, 5, padding=2, groups=2),
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(3, stride=2),  # (N, 256, 13, 13)
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # (N, 256, 6, 6)
        )
        self.classifier = _head(256 * 6 * 6, 4096, classes, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, 227, 227)."""
        check_images("alexnet_2012", x, self.in_channels, size=(227, 227))
        return self.classifier(torch.flatten(self.features(x), 1))


class AlexNetMNIST(nn.Module):
    """AlexNet cut down for images of 28x28: 3x3 kernels, 2x2 poolings, a quarter of the width.

    An 11x11 kernel with stride 4 leaves 5x5 of 28x28 and two poolings later nothing: so the first
    layers look closer, as the later ones do in AlexNet.

    Args:
        classes: Outputs.
        width: Multiplies AlexNet's 96-256-384-384-256 channels and 4096 hidden units.
        dropout: Probability before the first two dense layers, in training.
        input_size: (C, H, W) of the images.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W).
    """

    def __init__(
        self,
        classes: int = 10,
        *,
        width: float = 0.25,
        dropout: float = 0.5,
        input_size: tuple[int, int, int] = (1, 28, 28),
    ):
        super().__init__()
        self.input_size = input_size
        check_options("alexnet_mnist", classes, input_size[0], dropout)
        if not width > 0:
            raise ValueError(f"alexnet_mnist: width must be positive, got {width!r}")
        a, b, c, d, e, hidden = (max(1, round(n * width)) for n in (96, 256, 384, 384, 256, 4096))
        self.features = nn.Sequential(  # (N, 1, 28, 28)
            nn.Conv2d(input_size[0], a, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),  # (N, 24, 14, 14)
            nn.Conv2d(a, b, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),  # (N, 64, 7, 7)
            nn.Conv2d(b, c, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(c, d, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(d, e, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),  # (N, 64, 3, 3)
        )
        features = count_features("alexnet_mnist", self.features, input_size)
        self.classifier = _head(features, hidden, classes, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        check_images("alexnet_mnist", x, self.input_size[0], size=self.input_size[1:])
        return self.classifier(torch.flatten(self.features(x), 1))


def _head(features: int, hidden: int, classes: int, dropout: float) -> nn.Sequential:
    """AlexNet's three dense layers."""
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(features, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, classes),
    )
