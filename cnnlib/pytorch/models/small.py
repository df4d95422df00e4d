"""Small networks: LeNet-5, and four from popular tutorials with their shapes put right."""

import torch
from torch import nn

from cnnlib.pytorch.models._common import check_images, check_options, count_features

Size = tuple[int, int, int]


class _Plain(nn.Module):
    """Convolutions, then dense layers made for one size of image."""

    name: str
    features: nn.Sequential
    classifier: nn.Sequential

    def __init__(self, classes: int, input_size: Size, dropout: float = 0.0):
        super().__init__()
        check_options(self.name, classes, input_size[0], dropout)
        self.input_size = input_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        check_images(self.name, x, self.input_size[0], size=self.input_size[1:])
        return self.classifier(torch.flatten(self.features(x), 1))


class LeNet5(_Plain):
    """LeNet-5: two rounds of convolution, tanh and average pooling, then 120, 84, classes.

    Every map sees every map before it, and pooling has no parameters: 61,706 in all, where the
    paper, which left out connections, has 60,000.

    Args:
        classes: Outputs.
        input_size: (C, H, W) of the images.
        padding: Of the first convolution; 2 makes 28x28 fit as if it were 32x32.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W).

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
    recognition", 1998, section II.B.
    """

    name = "lenet5"

    def __init__(self, classes: int = 10, *, input_size: Size = (1, 32, 32), padding: int = 0):
        super().__init__(classes, input_size)
        self.features = nn.Sequential(  # (N, 1, 32, 32)
            nn.Conv2d(input_size[0], 6, 5, padding=padding),  # (N, 6, 28, 28)
            nn.Tanh(),
            nn.AvgPool2d(2),  # (N, 6, 14, 14)
            nn.Conv2d(6, 16, 5),  # (N, 16, 10, 10)
            nn.Tanh(),
            nn.AvgPool2d(2),  # (N, 16, 5, 5)
        )
        self.classifier = nn.Sequential(
            nn.Linear(count_features(self.name, self.features, input_size), 120),
            nn.Tanh(),
            nn.Linear(120, 84),
            nn.Tanh(),
            nn.Linear(84, classes),
        )


class SmallCNN(_Plain):
    """Two blocks of 3x3 convolution (32, 64), ReLU and pooling, dense 128, classes.

    Args:
        classes: Outputs.
        input_size: (C, H, W) of the images.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W).
    """

    name = "small_cnn"

    def __init__(self, classes: int = 10, *, input_size: Size = (1, 28, 28)):
        super().__init__(classes, input_size)
        self.features = _blocks(input_size[0], (32, 64), 3, padding=0)
        self.classifier = nn.Sequential(
            nn.Linear(count_features(self.name, self.features, input_size), 128),
            nn.ReLU(inplace=True),
            nn.Linear(128, classes),
        )


class ImageNetCNN(_Plain):
    """Three blocks of 3x3 convolution (32, 64, 128), ReLU and pooling, dense 512, classes.

    On 224x224 the blocks leave (N, 128, 26, 26), 86,528 numbers an image; 44,909,096 parameters,
    of which 44,302,848 stand in the first dense layer.

    Args:
        classes: Outputs.
        input_size: (C, H, W) of the images.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W).
    """

    name = "imagenet_cnn"

    def __init__(self, classes: int = 1000, *, input_size: Size = (3, 224, 224)):
        super().__init__(classes, input_size)
        self.features = _blocks(input_size[0], (32, 64, 128), 3, padding=0)
        self.classifier = nn.Sequential(
            nn.Linear(count_features(self.name, self.features, input_size), 512),
            nn.ReLU(inplace=True),
            nn.Linear(512, classes),
        )


class SimpleCNN(_Plain):
    """Three strided convolutions, each pooled 3x3 with stride 2, then 1280, 640, classes.

    The side goes 224, 112, 55, 28, 13, 7, 3: 256 * 3 * 3 = 2,304 numbers reach the dense layers.

    Args:
        classes: Outputs.
        dropout: Probability before the first two dense layers, in training.
        input_size: (C, H, W) of the images.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W).
    """

    name = "simple_cnn"

    def __init__(
        self, classes: int = 1000, *, dropout: float = 0.5, input_size: Size = (3, 224, 224)
    ):
        super().__init__(classes, input_size, dropout)
        self.features = nn.Sequential(  # (N, 3, 224, 224)
            nn.Conv2d(input_size[0], 64, 7, stride=2, padding=3),  # (N, 64, 112, 112)
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # (N, 64, 55, 55)
            nn.Conv2d(64, 128, 3, stride=2, padding=1),  # (N, 128, 28, 28)
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # (N, 128, 13, 13)
            nn.Conv2d(128, 256, 3, stride=2, padding=1),  # (N, 256, 7, 7)
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),  # (N, 256, 3, 3)
        )
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(count_features(self.name, self.features, input_size), 1280),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(1280, 640),
            nn.ReLU(inplace=True),
            nn.Linear(640, classes),
        )


class CaseStudyCNN(_Plain):
    """Three blocks of 5x5 convolution (32, 64, 128) that keep the size, and pooling; dense 1024.

    Args:
        classes: Outputs.
        input_size: (C, H, W) of the images.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W).
    """

    name = "case_study_cnn"

    def __init__(self, classes: int = 1000, *, input_size: Size = (3, 224, 224)):
        super().__init__(classes, input_size)
        self.features = _blocks(input_size[0], (32, 64, 128), 5, padding=2)
        self.classifier = nn.Sequential(
            nn.Linear(count_features(self.name, self.features, input_size), 1024),
            nn.ReLU(inplace=True),
            nn.Linear(1024, classes),
        )


def _blocks(
    in_channels: int, widths: tuple[int, ...], kernel: int, *, padding: int
) -> nn.Sequential:
    """Convolution, ReLU and 2x2 max-pooling for each width."""
    layers: list[nn.Module] = []
    for before, width in zip((in_channels, *widths), widths, strict=False):
        layers.append(nn.Conv2d(before, width, kernel, padding=padding))
        layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return nn.Sequential(*layers)
