"""ResNet-18 and ResNet-50, and the thin nets for 32x32 that are residual or, without it, plain."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from cnnlib.pytorch.models._common import check_images, check_options, he_initialise


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    # No bias: batch normalisation follows and would take it off again.
    return nn.Conv2d(
        in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
    )


class BasicBlock(nn.Module):
    """ReLU(x + F(x)), where F is two 3x3 convolutions with batch normalisation.

    Args:
        in_channels: Of x.
        channels: Of the result.
        stride: Of the first convolution.
        shortcut: What x goes through on its way to the sum: a module, None for x itself.
        residual: False leaves the sum out: ReLU(F(x)), a plain block.

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016, figure 5.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        shortcut: nn.Module | None = None,
        *,
        residual: bool = True,
    ):
        super().__init__()
        self.conv1 = _conv(in_channels, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = shortcut
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, out, H / stride, W / stride) of maps (N, in, H, W)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.residual:
            y = y + (x if self.downsample is None else self.downsample(x))
        return self.relu(y)


class Bottleneck(nn.Module):
    """ReLU(x + F(x)), where F narrows by 1x1, convolves 3x3 and widens fourfold by 1x1.

    The stride stands at the 3x3, as in torchvision; in the paper it stands at the first 1x1, which
    drops three quarters of its inputs unread.

    Args:
        in_channels: Of x.
        channels: In the middle; the result has four times as many.
        stride: Of the 3x3 convolution.
        shortcut: What x goes through on its way to the sum: a module, None for x itself.

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016, figure 5.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        shortcut: nn.Module | None = None,
    ):
        super().__init__()
        self.conv1 = _conv(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _conv(channels, channels * self.expansion, 1)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, 4 width, H / stride, W / stride) of maps (N, in, H, W)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """ResNet for photographs: a 7x7 convolution, four stages of blocks, a global mean, one dense.

    Args:
        block: BasicBlock or Bottleneck.
        depths: Blocks in each of the four stages.
        classes: Outputs.
        in_channels: Of the images.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W).

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016, table 1.
    ``state_dict`` keys as in torchvision.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(
        self,
        block: Callable[..., BasicBlock | Bottleneck],
        depths: tuple[int, int, int, int],
        classes: int = 1000,
        *,
        in_channels: int = 3,
    ):
        super().__init__()
        check_options("ResNet", classes, in_channels)
        if len(depths) != 4 or min(depths) < 1:
            raise ValueError(f"ResNet: depths must be four positive ints, got {depths}")
        self.in_channels = in_channels
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        expansion: int = block.expansion  # type: ignore[attr-defined]
        before = 64
        for stage, depth in enumerate(depths, start=1):
            channels, stride = 32 * 2**stage, 1 if stage == 1 else 2
            after = channels * expansion
            shortcut = None
            if stride != 1 or before != after:
                shortcut = nn.Sequential(_conv(before, after, 1, stride), nn.BatchNorm2d(after))
            blocks = [block(before, channels, stride, shortcut)]
            blocks += [block(after, channels) for _ in range(depth - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            before = after
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, classes)
        he_initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        check_images("ResNet", x, self.in_channels)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, 64, 56, 56) for 224x224
        x = self.layer2(self.layer1(x))  # (N, 128, 28, 28), with bottlenecks four times as wide
        x = self.layer4(self.layer3(x))  # (N, 512, 7, 7)
        return self.fc(torch.flatten(self.avgpool(x), 1))


class _Subsample(nn.Module):
    """Every second pixel, and maps of zeros to fill up: a shortcut that learns nothing."""

    def __init__(self, more: int, stride: int):
        super().__init__()
        self.more, self.stride = more, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Every stride-th pixel of x (N, C, H, W), with channels of zeros after its own."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))


class ThinNet(nn.Module):
    """The 6n + 2 layers of He et al. for 32x32 images, residual or plain, equal in all the rest.

    Args:
        classes: Outputs.
        depth: 6n + 2: 20, 32, 44, 56, ...
        residual: Whether each pair of convolutions is added to its input.
        width: Channels of the first of three stages; the others have twice and four times as many.
        in_channels: Of the images.

    Raises:
        ValueError: If an option makes no network; when called, if x is not (N, C, H, W).

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2016, section 4.2
    (shortcuts of option A, without parameters).
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential

    def __init__(
        self,
        classes: int = 10,
        *,
        depth: int = 20,
        residual: bool = True,
        width: int = 16,
        in_channels: int = 3,
    ):
        super().__init__()
        self.name = "residual_net" if residual else "plain_net"
        check_options(self.name, classes, in_channels)
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"{self.name}: depth must be 6n + 2, at least 8, got {depth!r}")
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"{self.name}: width must be a positive int, got {width!r}")
        self.in_channels = in_channels
        self.conv1 = _conv(in_channels, width, 3)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        before = width
        for stage in (1, 2, 3):
            channels, stride = width * 2 ** (stage - 1), 1 if stage == 1 else 2
            shortcut = _Subsample(channels - before, stride) if residual and stride > 1 else None
            blocks = [BasicBlock(before, channels, stride, shortcut, residual=residual)]
            blocks += [
                BasicBlock(channels, channels, residual=residual) for _ in range((depth - 8) // 6)
            ]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            before = channels
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, classes)
        he_initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, C, H, W)."""
        check_images(self.name, x, self.in_channels)
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 16, 32, 32)
        x = self.layer3(self.layer2(self.layer1(x)))  # (N, 64, 8, 8)
        return self.fc(torch.flatten(self.avgpool(x), 1))
