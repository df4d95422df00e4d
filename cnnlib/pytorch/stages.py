"""The stages of a network from input to output, and freezing them one by one."""

import types
from collections.abc import Iterable, Iterator

from torch import nn

from cnnlib.pytorch.heads import head_path

POOLING = (nn.MaxPool2d, nn.AvgPool2d)
# What directly precedes the head without weights of its own learns with the head, or not at all.
PASSES = (nn.Flatten, nn.Dropout, nn.Identity)


def stages(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """The parts of a network that one freezes, from the input to the head.

    A convolutional part is cut after each pooling (``block1``, ``block2``, ...), hidden dense
    layers are one stage (``dense``), other containers are stages of their own under their own
    names (``layer1``), and the last dense layer is the ``head``.

    Args:
        model: A classifier, ours or torchvision's.

    Returns:
        Stage name -> attribute paths of its modules. Every parameter is in exactly one stage.

    Raises:
        ValueError: If the model has no dense layer, or hides it where it cannot be divided.

    >>> from cnnlib.pytorch import models
    >>> list(stages(models.build("small_vgg")))
    ['block1', 'block2', 'block3', 'block4', 'head']
    >>> list(stages(models.build("resnet18")))
    ['stem', 'layer1', 'layer2', 'layer3', 'layer4', 'head']
    """
    head = head_path(model)
    found: dict[str, list[str]] = {}
    current = ""  # the stage that layers without weights join
    blocks, closed = 0, True
    for path, module in _parts(model, head):
        if path == head:
            before = _passing_before(model, head)
            for stage in found.values():
                stage[:] = [p for p in stage if p not in before]
            found["head"] = [*before, path]
            current = "head"
        elif _has_children(module):
            if any(True for _ in module.parameters()):
                found[path] = [path]
                current, closed = path, True
        elif any(True for _ in module.parameters()):
            if isinstance(module, nn.Linear):
                current = "dense"
            elif "." not in path and not isinstance(model, nn.Sequential):
                current = "stem"
            elif closed or not current.startswith("block"):
                blocks += 1
                current, closed = f"block{blocks}", False
            found.setdefault(current, []).append(path)
        elif current:
            found[current].append(path)
            closed = closed or isinstance(module, POOLING)
    found["head"] = found.pop("head")  # last, wherever the model's constructor put it
    loose = [name for name, _ in model.named_parameters(recurse=False)]
    first = next(iter(found))
    found[first] = [*loose, *found[first]]
    return {name: tuple(paths) for name, paths in found.items()}


def stage_parameters(model: nn.Module, stage: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and parameters of one stage.

    Args:
        model: As for :func:`stages`.
        stage: The name of one of them.

    Returns:
        Pairs as ``named_parameters`` gives them, with names from the root of the model.

    Raises:
        ValueError: If the model has no such stage.
    """
    paths = _chosen("stage_parameters", model, [stage])[stage]
    for name, parameter in model.named_parameters():
        if _within(name, paths):
            yield name, parameter


def freeze(model: nn.Module, names: str | Iterable[str] | None = None) -> tuple[str, ...]:
    """Make stages keep their weights *and* compute in training what they compute in evaluation.

    Their parameters get no gradient. Their layers stay in eval mode even when ``model.train()``
    is called: otherwise batch normalisation would go on normalising by the batch and overwrite its
    running statistics, and dropout would go on dropping.

    Args:
        model: A classifier.
        names: One or several stages; all but the head if None.

    Returns:
        All stages that are frozen now.

    Raises:
        ValueError: If there is no such stage.

    Note: ``SyncBatchNorm.convert_sync_batchnorm`` makes new layers, and these would learn
    statistics again; :func:`synchronise_batchnorm` keeps them frozen.
    """
    if names is None:
        names = [name for name in stages(model) if name != "head"]
    for paths in _chosen("freeze", model, names).values():
        for name, parameter in model.named_parameters():
            if _within(name, paths):
                parameter.requires_grad_(False)
                parameter.grad = None
        for name, module in model.named_modules():
            if _within(name, paths):
                _hold(module)
    return frozen(model)


def unfreeze(model: nn.Module, names: str | Iterable[str] | None = None) -> tuple[str, ...]:
    """Let stages learn again: the inverse of :func:`freeze`.

    Args:
        model: A classifier.
        names: One or several stages; all if None.

    Returns:
        All stages that are still frozen.

    Raises:
        ValueError: If there is no such stage.
    """
    names = stages(model) if names is None else names
    for paths in _chosen("unfreeze", model, names).values():
        for name, parameter in model.named_parameters():
            if _within(name, paths):
                parameter.requires_grad_(True)
        for name, module in model.named_modules():
            if _within(name, paths):
                module.__dict__.pop("train", None)
                module.training = model.training
    return frozen(model)


def synchronise_batchnorm(model: nn.Module) -> nn.Module:
    """Let batch normalisation compute its statistics over all processes; frozen layers stay frozen.

    PyTorch puts a new layer in the place of each old one, and only the old one knew that it was
    frozen.

    Args:
        model: Its layers of batch normalisation are replaced; a layer alone is not.

    Returns:
        The network to go on with.
    """
    held = [name for name, module in model.named_modules() if "train" in module.__dict__]
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name in held:
        _hold(model.get_submodule(name))
    return model


def frozen(model: nn.Module) -> tuple[str, ...]:
    """The stages of which no parameter learns.

    Args:
        model: As for :func:`stages`.

    Returns:
        Their names, from the input to the head.
    """
    return tuple(
        stage
        for stage in stages(model)
        if not any(parameter.requires_grad for _, parameter in stage_parameters(model, stage))
    )


def _hold(module: nn.Module) -> None:
    """Put a layer into eval mode, to stay there."""
    module.train(False)
    # Found before the class's own method; a bound method survives copy.deepcopy.
    module.__dict__["train"] = types.MethodType(_stay_in_eval, module)


def _stay_in_eval(self: nn.Module, mode: bool = True) -> nn.Module:
    """What a frozen layer does when it is told to train."""
    return nn.Module.train(self, False)


def _parts(model: nn.Module, head: str, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Children in order; chains that hold the head or poolings are opened."""
    for name, child in model.named_children():
        path = prefix + name
        opened = isinstance(child, nn.Sequential) and (
            head.startswith(f"{path}.")
            or name == "features"
            or any(isinstance(layer, POOLING) for layer in child)
        )
        if path != head and opened:
            yield from _parts(child, head, f"{path}.")
        elif path != head and head.startswith(f"{path}."):
            raise ValueError(
                f"stages: the head {head} stands inside {path}, a {type(child).__name__}, "
                "which is no nn.Sequential and cannot be divided"
            )
        else:
            yield path, child


def _passing_before(model: nn.Module, head: str) -> list[str]:
    """Dropout, Flatten and Identity right before the head in its own chain."""
    parent, _, own = head.rpartition(".")
    chain = model.get_submodule(parent) if parent else model
    if not isinstance(chain, nn.Sequential):
        return []
    before: list[str] = []
    for name, module in chain.named_children():
        if name == own:
            break
        before = [*before, name] if isinstance(module, PASSES) else []
    return [f"{parent}.{name}" if parent else name for name in before]


def _has_children(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def _within(name: str, paths: Iterable[str]) -> bool:
    return any(name == path or name.startswith(f"{path}.") for path in paths)


def _chosen(
    function: str, model: nn.Module, names: str | Iterable[str]
) -> dict[str, tuple[str, ...]]:
    known = stages(model)
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in known:
            raise ValueError(f"{function}: there is no stage {name!r}: it has {', '.join(known)}")
    return {name: known[name] for name in wanted}
