"""A trained network in a folder: description, weights, classes, normalisation; nothing pickled."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torchvision
from torch import nn
from torchvision.models import get_model, list_models

from cnnlib.pytorch import checkpoint, finetune, models, pretrained
from cnnlib.pytorch.recipe import Recipe

DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"


@dataclass(frozen=True)
class Network:
    """How to build a network before its weights are loaded.

    Args:
        name: Of one of ours (:func:`models.names`), or else of torchvision's.
        classes: Outputs that it is built with.
        options: Of :func:`models.build`.
        heads: Options of :func:`finetune.replace_head`, ``classes`` among them, for each time that
            a new head was put on.
    """

    name: str
    classes: int
    options: dict[str, Any] = field(default_factory=dict)
    heads: list[dict[str, Any]] = field(default_factory=list)

    def build(self) -> nn.Module:
        """The network with new random weights.

        Raises:
            ValueError: If nobody knows the name, or an option does not fit.
        """
        # What was a tuple is a list after JSON.
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in self.options.items()}
        if self.name in models.names():
            model = models.build(self.name, classes=self.classes, **options)
        else:
            model = get_model(self.name, weights=None, num_classes=self.classes, **options)
        for head in self.heads:
            finetune.replace_head(model, **head)
        return model


def describe(folder: str | Path, network: Network, recipe: Recipe) -> None:
    """Write ``model.json``, before the training whose weights it describes."""
    with checkpoint.replacing(Path(folder) / DESCRIPTION) as file:
        file.write(f"{_text(network, recipe)}\n".encode())


def is_described(folder: str | Path, network: Network, recipe: Recipe) -> bool:
    """Whether ``model.json`` describes this network and preparation.

    Raises:
        ValueError: If the folder has none or it does not hold what it should.
    """
    return _text(*description(folder)) == _text(network, recipe)


def _text(network: Network, recipe: Recipe) -> str:
    return json.dumps({"network": asdict(network), "recipe": recipe.to_dict()}, indent=1)


def save_weights(folder: str | Path, model: nn.Module) -> None:
    """Write ``model.safetensors``: the training is over."""
    checkpoint.save_weights(model, Path(folder) / WEIGHTS)


def description(folder: str | Path) -> tuple[Network, Recipe]:
    """What ``model.json`` says.

    Raises:
        ValueError: If the folder has none or it does not hold what it should.
    """
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        raise ValueError(f"{folder} is no folder of a run: it has no {DESCRIPTION}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise TypeError(f"it must hold names and values, got {type(values).__name__}")
        network, recipe = Network(**values["network"]), Recipe.from_dict(values["recipe"])
        _check(network, recipe)
    except KeyError as error:
        raise ValueError(f"{path} is damaged: it has no {error}") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return network, recipe


def _check(network: Network, recipe: Recipe) -> None:
    """Whether names and numbers are such, and whether there is a class for each output.

    Raises:
        ValueError, KeyError, TypeError: If not.
    """
    known = network.name in models.names() or network.name in list_models(torchvision.models)
    if not known:
        raise ValueError(f"there is no network {network.name!r}")
    kinds: dict[str, Any] = {
        "mean": int | float, "std": int | float, "classes": str, "size": int, "resize": int,
        "interpolation": str,
    }  # fmt: skip
    for name, kind in kinds.items():
        value = getattr(recipe, name)
        parts = value if name in ("mean", "std", "classes") else (value,)
        if not isinstance(parts, tuple) or not all(isinstance(part, kind) for part in parts):
            raise ValueError(f"{name} is {value!r}")
    outputs = network.heads[-1]["classes"] if network.heads else network.classes
    if outputs != len(recipe.classes):
        raise ValueError(f"it names {len(recipe.classes)} classes for {outputs} outputs")


def untrained(folder: str | Path) -> tuple[nn.Module, Recipe, Network]:
    """The network of a run with new random weights, and what ``model.json`` says.

    Raises:
        ValueError: If the folder has none or it does not hold what it should.
    """
    network, recipe = description(folder)
    try:
        return network.build(), recipe, network
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{Path(folder) / DESCRIPTION} is damaged: {error}") from error


def load(folder: str | Path) -> tuple[nn.Module, Recipe, Network]:
    """A network from the folder of its run, in eval mode; the folder alone is enough.

    Raises:
        ValueError: If a file is missing or damaged.
    """
    description(folder)  # says so if this is no folder of a run
    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise ValueError(f"{folder} has no {WEIGHTS}: its training has not ended; resume it")
    model, recipe, network = untrained(folder)
    checkpoint.load_weights(model, path)
    return model.eval(), recipe, network


def find(name: str) -> tuple[nn.Module, Recipe, Network]:
    """A trained network: by the folder of its run, or by its name as in ``pretrained.load``.

    Raises:
        ValueError, ConnectionError: If there is none.
    """
    if Path(name).is_dir():
        return load(name)
    if name != "small_vgg" and ("/" in name or "\\" in name):
        raise ValueError(f"there is no folder {name}")
    model, recipe = pretrained.load(name)
    return model, recipe, Network(name, len(recipe.classes))
