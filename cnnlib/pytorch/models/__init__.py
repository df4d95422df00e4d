"""The book's networks as torch modules, each built by its name."""

import difflib
import inspect
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import nn

from cnnlib.pytorch.models.alexnet import AlexNet, AlexNet2012, AlexNetMNIST
from cnnlib.pytorch.models.inception import GoogLeNet, Inception, InceptionNet
from cnnlib.pytorch.models.resnet import BasicBlock, Bottleneck, ResNet, ThinNet
from cnnlib.pytorch.models.small import CaseStudyCNN, ImageNetCNN, LeNet5, SimpleCNN, SmallCNN
from cnnlib.pytorch.models.vgg import CONFIGURATIONS, SMALL_VGG, VGG, SmallVGG, make_features

__all__ = [
    "CONFIGURATIONS",
    "SMALL_VGG",
    "VGG",
    "AlexNet",
    "AlexNet2012",
    "AlexNetMNIST",
    "BasicBlock",
    "Bottleneck",
    "CaseStudyCNN",
    "GoogLeNet",
    "ImageNetCNN",
    "Inception",
    "InceptionNet",
    "LeNet5",
    "ResNet",
    "SimpleCNN",
    "SmallCNN",
    "SmallVGG",
    "ThinNet",
    "build",
    "head_name",
    "input_size",
    "make_features",
    "names",
]


class _Entry(NamedTuple):
    make: Callable[..., nn.Module]
    input_size: tuple[int, int, int]


_COLOUR = (3, 224, 224)
_REGISTRY: dict[str, _Entry] = {
    "lenet5": _Entry(LeNet5, (1, 32, 32)),
    "small_cnn": _Entry(SmallCNN, (1, 28, 28)),
    "imagenet_cnn": _Entry(ImageNetCNN, _COLOUR),
    "simple_cnn": _Entry(SimpleCNN, _COLOUR),
    "case_study_cnn": _Entry(CaseStudyCNN, _COLOUR),
    "alexnet": _Entry(AlexNet, _COLOUR),
    "alexnet_2012": _Entry(AlexNet2012, (3, 227, 227)),
    "alexnet_mnist": _Entry(AlexNetMNIST, (1, 28, 28)),
    **{name: _Entry(partial(VGG, name, batch_norm=False), _COLOUR) for name in CONFIGURATIONS},
    **{
        f"{name}_bn": _Entry(partial(VGG, name, batch_norm=True), _COLOUR)
        for name in CONFIGURATIONS
    },
    "small_vgg": _Entry(SmallVGG, (3, 32, 32)),
    "googlenet": _Entry(GoogLeNet, _COLOUR),
    "inception_net": _Entry(InceptionNet, (3, 32, 32)),
    "resnet18": _Entry(partial(ResNet, BasicBlock, (2, 2, 2, 2)), _COLOUR),
    "resnet50": _Entry(partial(ResNet, Bottleneck, (3, 4, 6, 3)), _COLOUR),
    "plain_net": _Entry(partial(ThinNet, residual=False), (3, 32, 32)),
    "residual_net": _Entry(partial(ThinNet, residual=True), (3, 32, 32)),
}


def names() -> tuple[str, ...]:
    """What :func:`build` can build."""
    return tuple(_REGISTRY)


def build(name: str, *, classes: int | None = None, **options) -> nn.Module:
    """Build a network with new random weights.

    Args:
        name: One of :func:`names`.
        classes: Outputs; if None, as many as the network was drawn for: 10 for the small ones on
            digits and 32x32 images, 1,000 for those of ImageNet.
        **options: Of that network: ``width``, ``dropout``, ``in_channels`` and the like.

    Returns:
        A module from images (N, C, H, W) to logits (N, classes); its last layer is a Linear.

    Raises:
        ValueError: If there is no such network or it has no such option.

    >>> build("small_vgg", classes=43).classifier[-1].out_features
    43
    >>> build("lenet5").classifier[-1].out_features
    10
    >>> build("smal_vgg")
    Traceback (most recent call last):
    ValueError: build: there is no network 'smal_vgg': did you mean small_vgg?
    """
    entry = _entry("build", name)
    known = [option for option in inspect.signature(entry.make).parameters if option != "name"]
    known = [option for option in known if option not in getattr(entry.make, "keywords", {})]
    for option in options:
        if option not in known:
            raise ValueError(f"build: {name} has no option {option!r}: it has {', '.join(known)}")
    if classes is not None:
        options["classes"] = classes
    return entry.make(**options)


def input_size(name: str) -> tuple[int, int, int]:
    """Channels, height and width of the images that a network was drawn for.

    Raises:
        ValueError: If there is no such network.

    >>> input_size("small_vgg")
    (3, 32, 32)
    """
    return _entry("input_size", name).input_size


def head_name(model: nn.Module) -> str:
    """The attribute path of the last dense layer, the one that knows the classes.

    Args:
        model: Any classifier, ours or torchvision's.

    Raises:
        ValueError: If it has no dense layer.

    >>> head_name(build("small_vgg", classes=10))
    'classifier.2'
    """
    dense = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not dense:
        raise ValueError(f"head_name: {type(model).__name__} has no Linear layer")
    return dense[-1]


def _entry(function: str, name: str) -> _Entry:
    if name not in _REGISTRY:
        close = difflib.get_close_matches(name, _REGISTRY, n=3)
        hint = (
            f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(names())}"
        )
        raise ValueError(f"{function}: there is no network {name!r}: {hint}")
    return _REGISTRY[name]
