"""The last layers of a classifier, which know its classes: where they are, and new ones."""

import math

import torch
from torch import nn

from cnnlib.pytorch import models


class Head(nn.Sequential):
    """A new head of several layers; the class marks where it begins."""


def head_path(model: nn.Module) -> str:
    """The attribute path of the head: a :class:`Head`, or else the last dense layer.

    Raises:
        ValueError: If the model has no dense layer, or is nothing else than one.

    >>> head_path(models.build("resnet18"))
    'fc'
    """
    for name, module in model.named_modules():
        if isinstance(module, Head) and name:
            return name
    name = models.head_name(model)
    if not name:
        raise ValueError("head_path: the model is a single Linear layer, there is nothing before")
    return name


def replace_head(
    model: nn.Module,
    classes: int,
    *,
    hidden: int | None = None,
    dropout: float = 0.0,
    whole: bool = False,
    seed: int = 0,
) -> nn.Module:
    """Put a new head on a trained network, in place.

    Weights are normal with deviation 0.01 (after ``hidden`` too), biases zero: the first loss is
    about ln(classes), whatever the features are.

    Args:
        model: A classifier, ours or torchvision's.
        classes: Outputs of the new head.
        hidden: Units of a hidden dense layer with ReLU; None: the head is one dense layer.
        dropout: Probability before the new head's last layer, in training.
        whole: Cut off all dense layers of the chain in which the last one stands, not only that.
        seed: Of the new weights.

    Returns:
        The new head: a Linear, or a Sequential that ends in one.

    Raises:
        ValueError: If a number is out of range, the model has no dense layer, or ``whole`` is
            asked of a model whose last dense layer stands in no ``nn.Sequential``.
    """
    for name, value in (("classes", classes), ("hidden", 1 if hidden is None else hidden)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"replace_head: {name} must be a positive int, got {value!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"replace_head: dropout must be at least 0 and below 1, got {dropout!r}")
    path = head_path(model)
    parent_path, _, name = path.rpartition(".")
    parent = model.get_submodule(parent_path)
    old = next(m for m in model.get_submodule(path).modules() if isinstance(m, nn.Linear))
    if whole:
        if not isinstance(parent, nn.Sequential) or parent is model:
            raise ValueError(f"replace_head: {path} stands in no chain of dense layers")
        old = next(m for m in parent.modules() if isinstance(m, nn.Linear))
        grand, _, name = parent_path.rpartition(".")
        parent = model.get_submodule(grand)
    new = _head(old.in_features, classes, hidden, dropout, whole, seed)
    setattr(parent, name, new.to(old.weight.device, old.weight.dtype).train(model.training))
    return new


def _head(
    inputs: int, classes: int, hidden: int | None, dropout: float, whole: bool, seed: int
) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()] if whole else []
    if hidden is not None:
        layers += [nn.Linear(inputs, hidden), nn.ReLU(inplace=True)]
    if dropout:
        layers.append(nn.Dropout(dropout))
    layers.append(nn.Linear(inputs if hidden is None else hidden, classes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, nn.Linear):
                last = layer is layers[-1]
                deviation = 0.01 if last else math.sqrt(2 / layer.in_features)
                layer.weight.normal_(0, deviation, generator=generator)
                layer.bias.zero_()
    return layers[0] if len(layers) == 1 else Head(*layers)
