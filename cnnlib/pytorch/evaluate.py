"""Measuring a classifier on a data set: exact sums over all examples, none counted twice."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from cnnlib.pytorch import distributed

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` found: means over ``examples``, and the logits if they were wanted.

    ``top5`` is the share whose class is among the five largest logits; 1 with five or fewer
    classes.
    """

    loss: float
    accuracy: float
    top5: float
    examples: int
    logits: torch.Tensor | None = None
    labels: torch.Tensor | None = None

    def __str__(self) -> str:
        return (
            f"loss {self.loss:.4f}, accuracy {self.accuracy:.4f}, top-5 {self.top5:.4f} "
            f"on {self.examples:,} examples"
        )


def evaluate(
    model: nn.Module,
    loader: Iterable,
    *,
    device: Any = None,
    precision: str = "fp32",
    keep_logits: bool = False,
) -> Evaluation:
    """Mean cross-entropy, accuracy and top-5 accuracy over a data set.

    Sums are kept in float64 and divided once, so that a last, smaller batch weighs as much as its
    examples. Of soft labels the loss takes the shares, and the largest share counts as the true
    class. Under torchrun a loader from :func:`cnnlib.pytorch.distributed.shard` covers a part,
    and the sums of all processes are added; any other loader is measured by this process alone.

    Args:
        model: The network; its mode (training or not) is as before afterwards.
        loader: Yields batches x (N, ...), labels (N,) or shares (N, classes).
        device: Where to compute, the model is moved there; where it is if None.
        precision: ``"fp32"`` (as the model is), ``"bf16"`` or ``"fp16"``.
        keep_logits: Whether to return all logits and labels, on the CPU.

    Returns:
        The measurements.

    Raises:
        ValueError: If there is no example, a label fits no class, or the logits of several
            processes are wanted.
    """
    shared = distributed.is_sharded(loader)
    if keep_logits and shared:
        raise ValueError("evaluate: keep_logits needs the whole data set in one process")
    device = place(model, device)
    sums = distributed.zeros(4, device)
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for x, labels in loader:
                logits, labels = forward(model, x, labels, device, precision)
                sums += _count(logits, labels, sums.dtype).to(sums)
                if keep_logits:
                    kept.append((logits.cpu(), labels.cpu()))
    finally:
        model.train(training)
    if shared:
        distributed.add_up(sums)
    loss, right, right5, examples = sums.tolist()
    if not examples:
        raise ValueError("evaluate: the loader has no example")
    both = [torch.cat(parts) for parts in zip(*kept, strict=True)] if kept else [None, None]
    return Evaluation(loss / examples, right / examples, right5 / examples, int(examples), *both)


def predict_logits(
    model: nn.Module, loader: Iterable, *, device: Any = None, precision: str = "fp32"
) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of every example and its label, in the loader's order.

    Args:
        model: The network; computes in evaluation mode.
        loader: Yields batches x (N, ...), labels (N,) or shares (N, classes).
        device: Where to compute, the model is moved there; where it is if None.
        precision: ``"fp32"`` (as the model is), ``"bf16"`` or ``"fp16"``.

    Returns:
        logits (N, classes) and the labels as the loader gives them, on the CPU.
    """
    result = evaluate(model, loader, device=device, precision=precision, keep_logits=True)
    assert result.logits is not None
    assert result.labels is not None
    return result.logits, result.labels


def _count(logits: torch.Tensor, labels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Sums over a batch: loss, right, right among five, examples: (4,), of that type."""
    exact = logits.float() if logits.dtype in AUTOCAST.values() else logits
    soft = labels.ndim == 2
    truth = labels.argmax(1) if soft else labels  # (N,)
    loss = F.cross_entropy(exact, labels.to(exact.dtype) if soft else labels, reduction="none")
    # Of equal logits the first class comes first, as argmax says; topk promises no order.
    ranked = logits.sort(dim=1, descending=True, stable=True).indices[:, :5]
    best = ranked == truth[:, None]  # (N, 5)
    examples = truth.new_tensor(len(truth))
    return torch.stack([loss.sum(dtype=dtype), best[:, 0].sum(), best.sum(), examples])


def place(model: nn.Module, device: Any = None) -> torch.device:
    """The device to compute on: the given one, with the model moved there, or where it is."""
    if device is not None:
        model.to(device)
        return torch.device(device)
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def mixed(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a forward pass computes in that precision."""
    if precision == "fp32":
        return nullcontext()
    if precision not in AUTOCAST:
        raise ValueError(f"precision must be fp32, bf16 or fp16, got {precision!r}")
    return torch.autocast(device.type, AUTOCAST[precision])


def forward(
    model: nn.Module, x: torch.Tensor, labels: torch.Tensor, device: torch.device, precision: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Carry a batch to the device and through the network.

    Args:
        model: The network.
        x: Inputs (N, ...); floating-point ones take the type of the model's parameters.
        labels: Classes (N,), or shares (N, classes).
        device: Where to compute; the model is there.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``.

    Returns:
        logits (N, classes) and the labels, on the device.

    Raises:
        ValueError: If the logits are no matrix or the labels do not fit them.
    """
    on_host = labels  # checking values on a GPU would make the CPU wait for it
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    dtype = parameter.dtype if parameter is not None and x.is_floating_point() else None
    layout = torch.preserve_format
    if parameter is not None and x.ndim == 4 and _is_channels_last(model):
        layout = torch.channels_last
    x = x.to(device, dtype, non_blocking=True, memory_format=layout)
    labels = labels.to(device, non_blocking=True)
    with mixed(device, precision):
        logits = model(x)
    _check(logits, on_host)
    return logits, labels if labels.ndim == 2 else labels.long()


def _is_channels_last(model: nn.Module) -> bool:
    """Whether the first kernel that can tell is stored as (O, H, W, C)."""
    for p in model.parameters():
        if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] * p.shape[3] > 1:
            return not p.is_contiguous() and p.is_contiguous(memory_format=torch.channels_last)
    return False


def _check(logits: torch.Tensor, labels: torch.Tensor) -> None:
    if logits.ndim != 2 or labels.shape[:1] != logits.shape[:1] or labels.ndim > 2:
        raise ValueError(
            "the model must give logits (N, classes) for labels (N,), "
            f"got {tuple(logits.shape)} for {tuple(labels.shape)}"
        )
    if labels.ndim == 2:  # shares of each class
        if labels.shape != logits.shape:
            raise ValueError(
                f"soft labels must be (N, classes) as the logits {tuple(logits.shape)}, "
                f"got {tuple(labels.shape)}"
            )
    elif labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    elif labels.device.type == "cpu" and len(labels):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(
                f"labels must lie in 0..{logits.shape[1] - 1}, as the model has "
                f"{logits.shape[1]} classes, got {low}..{high}"
            )
