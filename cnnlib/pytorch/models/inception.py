"""GoogLeNet, its Inception block, and a small network of such blocks for 32x32."""

import torch
from torch import nn

from cnnlib.pytorch.models._common import check_images, check_options, he_initialise


class ConvBN(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, **options):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=False, **options)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """ReLU of the normalised convolution of x (N, in, H, W)."""
        return torch.relu_(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four views of the same maps side by side: 1x1, 3x3, 5x5 and pooling, joined as channels.

    1x1 convolutions thin the channels out before the large kernels.

    Args:
        in_channels: C.
        one: Channels of the 1x1 branch.
        reduce3: 1x1 channels before the 3x3.
        three: Channels of the 3x3 branch.
        reduce5: 1x1 channels before the 5x5.
        five: Channels of the 5x5 branch.
        pool: Channels of the 1x1 after the 3x3 max-pooling.
        large_kernel: 5 as in the paper; torchvision's weights were made with 3.

    Returns (when called):
        (N, one + three + five + pool, H, W).

    Source: Szegedy et al., "Going Deeper with Convolutions", 2015, figure 2b.
    """

    def __init__(
        self,
        in_channels: int,
        one: int,
        reduce3: int,
        three: int,
        reduce5: int,
        five: int,
        pool: int,
        *,
        large_kernel: int = 5,
    ):
        super().__init__()
        self.branch1 = ConvBN(in_channels, one, 1)
        self.branch2 = nn.Sequential(
            ConvBN(in_channels, reduce3, 1), ConvBN(reduce3, three, 3, padding=1)
        )
        self.branch3 = nn.Sequential(
            ConvBN(in_channels, reduce5, 1),
            ConvBN(reduce5, five, large_kernel, padding=large_kernel // 2),
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), ConvBN(in_channels, pool, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The four views of x (N, C, H, W) side by side, as channels of one map of its size."""
        views = [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)]
        return torch.cat(views, dim=1)


# Table 1 of the paper: one, reduce3, three, reduce5, five, pool.
BLOCKS: dict[str, tuple[int, int, int, int, int, int]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class GoogLeNet(nn.Module):
    """GoogLeNet: nine Inception blocks and one dense layer, without the auxiliary classifiers.

    Args:
        classes: Outputs.
        dropout: Probability before the dense layer, in training.
        in_channels: Of the images.
        large_kernel: Of the 5x5 branches. 3 is what torchvision's weights fit, by an old slip that
            nobody can mend without training again; 5 is the paper's.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W) with
            H, W at least 15.

    Source: Szegedy et al., "Going Deeper with Convolutions", 2015, table 1. ``state_dict`` keys as
    in torchvision with ``aux_logits=False``; auxiliary weights in a state that is loaded are
    passed over. Its published weights expect inputs scaled to -1..1.
    """

    def __init__(
        self,
        classes: int = 1000,
        *,
        dropout: float = 0.2,
        in_channels: int = 3,
        large_kernel: int = 3,
    ):
        super().__init__()
        check_options("googlenet", classes, in_channels, dropout)
        if large_kernel not in (3, 5):
            raise ValueError(f"googlenet: large_kernel must be 3 or 5, got {large_kernel!r}")
        self.in_channels = in_channels
        self.conv1 = ConvBN(in_channels, 64, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvBN(64, 64, 1)
        self.conv3 = ConvBN(64, 192, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        channels = 192
        for place, widths in BLOCKS.items():
            block = Inception(channels, *widths, large_kernel=large_kernel)
            setattr(self, f"inception{place}", block)
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, classes)
        he_initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        check_images("googlenet", x, self.in_channels, least=15)
        x = self.maxpool1(self.conv1(x))  # (N, 64, 56, 56) for 224x224
        x = self.maxpool2(self.conv3(self.conv2(x)))  # (N, 192, 28, 28)
        x = self.maxpool3(self._blocks("3", x))  # (N, 480, 14, 14)
        x = self.maxpool4(self._blocks("4", x))  # (N, 832, 7, 7)
        x = self.avgpool(self._blocks("5", x))  # (N, 1024, 1, 1)
        return self.fc(self.dropout(torch.flatten(x, 1)))

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):
        """As always, but the weights of auxiliary classifiers are passed over."""
        ours = {k: v for k, v in state_dict.items() if not k.startswith(("aux1.", "aux2."))}
        return super().load_state_dict(ours, strict, assign)

    def _blocks(self, stage: str, x: torch.Tensor) -> torch.Tensor:
        for place in BLOCKS:
            if place.startswith(stage):
                x = getattr(self, f"inception{place}")(x)
        return x


class InceptionNet(nn.Module):
    """A small network of three Inception blocks for 32x32 images.

    Args:
        classes: Outputs.
        dropout: Probability before the dense layer, in training.
        in_channels: Of the images.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W) with
            H, W at least 4.
    """

    def __init__(self, classes: int = 10, *, dropout: float = 0.0, in_channels: int = 3):
        super().__init__()
        check_options("inception_net", classes, in_channels, dropout)
        self.in_channels = in_channels
        self.features = nn.Sequential(  # (N, 3, 32, 32)
            ConvBN(in_channels, 32, 3, padding=1),
            nn.MaxPool2d(2),  # (N, 32, 16, 16)
            Inception(32, 16, 24, 32, 4, 8, 8),  # (N, 64, 16, 16)
            Inception(64, 32, 32, 48, 8, 24, 16),  # (N, 120, 16, 16)
            nn.MaxPool2d(2),  # (N, 120, 8, 8)
            Inception(120, 48, 48, 96, 12, 32, 32),  # (N, 208, 8, 8)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(208, classes)
        he_initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        check_images("inception_net", x, self.in_channels, least=4)
        x = torch.flatten(self.pool(self.features(x)), 1)  # (N, 208)
        return self.fc(self.dropout(x))
