"""Fine-tuning: a new head on a trained network, stages that learn or stay, features kept once."""

from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

from cnnlib.pytorch import data, distributed
from cnnlib.pytorch._loading import training_loader
from cnnlib.pytorch.evaluate import place
from cnnlib.pytorch.heads import head_path, replace_head
from cnnlib.pytorch.stages import freeze, frozen, stage_parameters, stages, unfreeze
from cnnlib.pytorch.train import History, TrainConfig, fit

__all__ = [
    "METHODS",
    "cache_features",
    "choose",
    "fine_tune",
    "freeze",
    "frozen",
    "head",
    "head_path",
    "linear_probe",
    "parameter_groups",
    "replace_head",
    "stage_parameters",
    "stages",
    "unfreeze",
]

METHODS = ("probe", "partial", "full")
"""What learns: the head alone; the later stages and the head; everything."""


def choose(model: nn.Module, method: str, last: int | None = None) -> tuple[str, ...]:
    """Freeze and unfreeze so that the stages of a method learn and the others do not.

    Args:
        model: A classifier.
        method: ``"probe"``, ``"partial"`` or ``"full"``, see :data:`METHODS`.
        last: How many stages before the head learn in ``"partial"``; half of them, rounded down,
            if None.

    Returns:
        The stages that learn.

    Raises:
        ValueError: If there is no such method, or last is not from 0 to all.
    """
    if method not in METHODS:
        raise ValueError(f"choose: method must be one of {', '.join(METHODS)}, got {method!r}")
    names = list(stages(model))
    before = len(names) - 1
    if last is not None and (method != "partial" or not 0 <= last <= before):
        raise ValueError(
            f"choose: last goes with 'partial' and is from 0 to {before}, "
            f"got {last!r} with {method!r}"
        )
    learn = {"probe": 0, "partial": before // 2 if last is None else last, "full": before}[method]
    unfreeze(model, names[before - learn :])
    freeze(model, names[: before - learn])
    return tuple(names[before - learn :])


def parameter_groups(model: nn.Module, lr: float, decay: float = 1.0) -> list[dict[str, Any]]:
    """Discriminative learning rates: the head learns fastest, each stage before it more slowly.

    .. math:: \\eta_k = \\eta \\cdot d^{k}, \\quad k = \\text{number of stages up to the head}

    Args:
        model: A classifier; what is frozen gets no group.
        lr: Learning rate of the head.
        decay: d, more than 0 and at most 1. A frozen stage counts too: a stage's rate does not
            depend on which others learn.

    Returns:
        One group for each stage that learns, from the first: name, params, lr. For
        :func:`cnnlib.pytorch.train.fit` and any torch optimiser.

    Raises:
        ValueError: If lr is negative, decay out of range, or everything is frozen.

    Source: Howard and Ruder (2018), section 3.2, with d = 1 / 2.6.
    """
    if not lr >= 0 or not 0 < decay <= 1:
        raise ValueError(
            f"parameter_groups: lr must be at least 0 and decay in (0, 1], got {lr!r}, {decay!r}"
        )
    names = list(stages(model))
    groups = []
    for k, name in enumerate(names):
        learning = [p for _, p in stage_parameters(model, name) if p.requires_grad]
        rate = lr * decay ** (len(names) - 1 - k)
        if learning:
            groups.append({"name": name, "params": learning, "lr": rate})
    if not groups:
        raise ValueError("parameter_groups: every stage is frozen, nothing would learn")
    return groups


def head(model: nn.Module) -> nn.Sequential:
    """The head as a network of its own that shares its layers with the model.

    It takes what :func:`cache_features` returns; training it trains the model's head.

    Args:
        model: A classifier whose stages :func:`stages` can tell apart.

    Returns:
        The modules of its stage ``head``, in their order.
    """
    return nn.Sequential(*(model.get_submodule(path) for path in stages(model)["head"]))


def cache_features(model: nn.Module, loader: Any, *, device: Any = None) -> TensorDataset:
    """What the frozen part of a network makes of each image: computed once, kept in memory.

    A frozen base gives the same features in every epoch, so it need not run in every epoch.
    Augmentation then happens once only, too: each image keeps the one variant that the loader
    gives now.

    Args:
        model: A classifier whose stages before the head are frozen.
        loader: Yields batches x (N, ...), labels (N,); in the order in which they shall be kept.
        device: Where to compute, the model is moved there; where it is if None.

    Returns:
        Features (N, ...) as :func:`head` takes them and labels (N,), on the CPU.

    Raises:
        ValueError: If a stage before the head still learns, or the loader is empty.

    Memory: as many numbers an image as the head has inputs: 16 KB for VGG16's 4,096 in float32.
    """
    names = stages(model)
    learning = [name for name in names if name not in (*frozen(model), "head")]
    if learning:
        raise ValueError(
            f"cache_features: {', '.join(learning)} still learn, so their features would go stale: "
            "freeze(model) first"
        )
    device = place(model, device)
    dtype = next(model.parameters()).dtype
    caught: list[torch.Tensor] = []
    first = model.get_submodule(names["head"][0])
    hook = first.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].cpu().clone()))
    labels: list[torch.Tensor] = []
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for x, y in loader:
                model(x.to(device, dtype))
                labels.append(y)
    finally:
        hook.remove()
        model.train(training)
    if not labels:
        raise ValueError("cache_features: the loader has no example")
    # clone: tensors made in inference mode could not be used in training
    return TensorDataset(torch.cat(caught).clone(), torch.cat(labels))


def linear_probe(
    model: nn.Module,
    train_set: Any,
    val_set: Any = None,
    config: TrainConfig | None = None,
    *,
    batch_size: int = 32,
    workers: int = 0,
    cache: bool = True,
    device: Any = None,
    **options: Any,
) -> History:
    """Freeze everything but the head and train the head: how good are the features as they are?

    Args:
        model: A classifier with a head of the right size; trained in place.
        train_set: Data set of (image, label).
        val_set: The same, to measure on; None to do without.
        config: Of the training.
        batch_size: Examples per step.
        workers: Processes that load images.
        cache: Compute the features once (:func:`cache_features`). False runs the whole network in
            every epoch: the same result without augmentation, and other variants of each image in
            every epoch with it.
        device: Where to compute; as in :func:`cnnlib.pytorch.train.fit`.
        options: Further arguments of :func:`cnnlib.pytorch.train.fit`. With cached features the
            files in its ``folder`` are the head's alone: resume them on the same base.

    Returns:
        One row per epoch.

    Raises:
        ValueError: If the model has no head that can be cut off, or an option does not fit.
    """
    config = config or TrainConfig()
    freeze(model)
    unfreeze(model, "head")
    device = distributed.chosen_device(device, distributed.start(device))
    learner = model
    if cache:
        loaders = _in_order(train_set, batch_size, workers), _in_order(val_set, batch_size, workers)
        train_set, val_set = (
            None if loader is None else cache_features(model, loader, device=device)
            for loader in loaders
        )
        learner, workers = head(model), 0
    loaders = _loaders(train_set, val_set, batch_size, workers, config)
    history = fit(learner, *loaders, config, device=device, **options)
    model.eval()  # as fit leaves what it trains; here that may have been the head alone
    return history


def fine_tune(
    model: nn.Module,
    train_set: Any,
    val_set: Any = None,
    config: TrainConfig | None = None,
    *,
    method: str = "full",
    last: int | None = None,
    decay: float = 1.0,
    batch_size: int = 32,
    workers: int = 0,
    cache: bool | None = None,
    **options: Any,
) -> History:
    """Train a network that has a new head: the head alone, its later stages, or all of it.

    The same call serves the small VGG on 32x32 pixels and VGG16 on 224x224.

    Args:
        model: A classifier after :func:`replace_head`; trained in place.
        train_set: Data set of (image, label), augmented or not.
        val_set: The same, to measure on; None to do without.
        config: Of the training; its lr is the head's.
        method: ``"probe"``, ``"partial"`` or ``"full"``, see :data:`METHODS`.
        last: How many stages before the head learn in ``"partial"``; half of them if None.
        decay: Each stage's learning rate over that of the stage after it.
        batch_size: Examples per step.
        workers: Processes that load images.
        cache: For ``"probe"``: compute the features once. True if None.
        options: Further arguments of :func:`cnnlib.pytorch.train.fit`: folder, resume, device ...

    Returns:
        One row per epoch.

    Raises:
        ValueError: If an option does not fit, or the data have other classes than the head.
    """
    config = config or TrainConfig()
    outputs = [m for m in model.modules() if isinstance(m, nn.Linear)][-1].out_features
    classes = len(getattr(train_set, "classes", range(outputs)))
    if classes != outputs:
        raise ValueError(
            f"fine_tune: the data have {classes} classes but the head has {outputs} outputs: "
            f"replace_head(model, {classes}) first"
        )
    if cache and method != "probe":
        raise ValueError(f"fine_tune: with {method!r} the features change, they cannot be cached")
    choose(model, method, last)
    if method == "probe":
        options["cache"] = cache is not False
        return linear_probe(
            model, train_set, val_set, config, batch_size=batch_size, workers=workers, **options
        )
    loaders = _loaders(train_set, val_set, batch_size, workers, config)
    groups = parameter_groups(model, config.lr, decay)
    return fit(model, *loaders, config, parameters=groups, **options)


def _loaders(
    train_set: Any, val_set: Any, batch_size: int, workers: int, config: TrainConfig
) -> tuple[Any, Any]:
    train = training_loader(train_set, batch_size, seed=config.seed, workers=workers)
    return train, _in_order(val_set, batch_size, workers)


def _in_order(dataset: Any, batch_size: int, workers: int) -> Any:
    """A loader to measure with; None of None."""
    return None if dataset is None else data.loader(dataset, batch_size, workers=workers)
