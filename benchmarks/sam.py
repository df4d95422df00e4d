"""Sharpness-aware gradients: those at the worst point near the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@contextmanager
def uphill(
    weights: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    rho: float,
    eta: float = 0.01,
) -> Iterator[None]:
    """Within, the weights stand where the loss is higher; afterwards where they stood.

    Each weight w with gradient g moves by rho s^2 g / |s g|, where s = abs(w) + eta and the norm is
    over all weights: a large weight moves further than a small one, so that the scale of a layer,
    which batch normalisation takes out, does not matter.

    Args:
        weights: Moved in place.
        gradients: Of the loss, one of the shape of each weight.
        rho: Length of the move, in units of the weights' own sizes.
        eta: Added to these sizes, so that a weight of 0 moves, too.

    Source: P. Foret and others, "Sharpness-Aware Minimization for Efficiently Improving
    Generalization", 2021; the sizes are those of J. Kwon and others, "ASAM", 2021.
    """
    old = [w.detach().clone() for w in weights]
    sizes = [w.abs() + eta for w in old]
    pairs = list(zip(sizes, gradients, strict=True))
    norm = torch.stack([(s * g).square().sum() for s, g in pairs]).sum().sqrt()
    with torch.no_grad():
        for w, (s, g) in zip(weights, pairs, strict=True):
            w.add_(rho * s.square() * g / (norm + 1e-12))
    try:
        yield
    finally:
        with torch.no_grad():
            for w, before in zip(weights, old, strict=True):
                w.copy_(before)


def backward(
    model: nn.Module, loss_of: Loss, x: torch.Tensor, y: torch.Tensor, rho: float, part: int
) -> tuple[float, int]:
    """Put the sharpness-aware gradient of the mean loss of x (N, ...) and y (N,) into ``.grad``.

    Args:
        model: In training. Its batch normalisation follows the images at the weights themselves.
        loss_of: Mean loss of logits and labels.
        x: Images.
        y: Labels.
        rho: See :func:`uphill`.
        part: So many images look for their worst point together.

    Returns:
        Mean loss and number of right answers, both at the weights themselves.
    """
    weights = list(model.parameters())
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    totals = [torch.zeros_like(w) for w in weights]
    loss_sum, hits = 0.0, 0
    for images, labels in zip(x.split(part), y.split(part), strict=True):
        logits = model(images)
        loss = loss_of(logits, labels)
        with uphill(weights, torch.autograd.grad(loss, weights), rho):
            for layer in layers:
                layer.momentum = 0.0
            there = torch.autograd.grad(loss_of(model(images), labels), weights)
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum
        for total, gradient in zip(totals, there, strict=True):
            total.add_(gradient, alpha=len(labels) / len(y))
        loss_sum += loss.item() * len(labels)
        hits += int((logits.argmax(1) == labels).sum())
    for w, total in zip(weights, totals, strict=True):
        w.grad = total
    return loss_sum / len(y), hits
