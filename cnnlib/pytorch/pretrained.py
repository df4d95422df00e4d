"""Networks that were trained before: the small VGG that travels along, and torchvision's."""

import logging
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models import get_model, get_model_weights, list_models

from cnnlib.pytorch import checkpoint, data, models
from cnnlib.pytorch._downloads import TIMEOUT, _timeout
from cnnlib.pytorch.recipe import Recipe

logger = logging.getLogger(__name__)

SMALL_VGG = "small_vgg_cifar10"
SEVERAL_HEADS = ("googlenet", "inception_v3")  # which give several logits in training
# In a checkout the weights stand in data/weights; the built package carries them inside.
PLACES = (
    Path(__file__).resolve().parents[2] / "data" / "weights",
    Path(__file__).resolve().parents[1] / "weights",
)
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


SMALL_VGG_RECIPE = Recipe(32, 32, data.CIFAR10_MEAN, data.CIFAR10_STD, CIFAR10_CLASSES)


def small_vgg() -> nn.Module:
    """The small VGG with weights trained on CIFAR-10; its recipe is :data:`SMALL_VGG_RECIPE`.

    Returns:
        :class:`cnnlib.pytorch.models.SmallVGG` in eval mode, float32.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    tried = [place / f"{SMALL_VGG}.safetensors" for place in PLACES]
    path = next((p for p in tried if p.is_file()), tried[0])
    model = models.build("small_vgg", classes=len(CIFAR10_CLASSES))
    checkpoint.load_weights(model, path)
    return model.eval()


def torchvision_weights(name: str, version: str = "IMAGENET1K_V1") -> tuple[nn.Module, Recipe]:
    """A network with torchvision's ImageNet weights, downloaded once into torch's cache folder.

    Before a download a warning is logged that says how much comes and where to.

    Where this package has the network itself (VGG, AlexNet, ResNet), it is ours that gets the
    weights; the names in their state dictionaries are the same.

    Args:
        name: ``"vgg16"`` or another of torchvision's classifiers.
        version: Which of torchvision's weights.

    Returns:
        The network in eval mode, and its :class:`Recipe` with the 1000 classes' names.

    Raises:
        ValueError: If torchvision has no such network or weights, or the file in the cache is
            damaged or belongs to another network.
        ConnectionError: If the weights are neither in the cache nor can be downloaded.

    Source: torchvision.models; the folder is ``$TORCH_HOME/hub/checkpoints``.
    """
    there = [n for n in list_models(module=torchvision.models) if n not in SEVERAL_HEADS]
    both = [n for n in models.names() if n in there]
    if name not in there:
        raise ValueError(
            f"torchvision_weights: torchvision has no classifier {name!r} with one head; "
            f"there are {', '.join(both)} and more"
        )
    choices = get_model_weights(name)
    if version not in choices.__members__:
        known = ", ".join(choices.__members__)
        raise ValueError(f"torchvision_weights: {name} has no weights {version!r}: {known}")
    weights: Any = choices[version]
    state = _state_dict(name, weights)
    model = models.build(name) if name in both else get_model(name, weights=None)
    state = {**_counters(model), **state}
    checkpoint.check_fits(model, state, str(cached_path(weights.url)))
    model.load_state_dict(state)
    return model.eval(), _recipe(weights)


def cached_path(url: str) -> Path:
    """Where torch keeps a file that it downloads from that address."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]


def load(name: str) -> tuple[nn.Module, Recipe]:
    """A trained network by name: ``"small_vgg"``, or one of torchvision's.

    Raises:
        ValueError, ConnectionError: As :func:`small_vgg` and :func:`torchvision_weights`.
    """
    return (small_vgg(), SMALL_VGG_RECIPE) if name == "small_vgg" else torchvision_weights(name)


def _recipe(weights: Any) -> Recipe:
    """What torchvision does with a picture for these weights."""
    given = weights.transforms()
    return Recipe(
        given.crop_size[0],
        given.resize_size[0],
        tuple(given.mean),
        tuple(given.std),
        tuple(weights.meta["categories"]),
        given.interpolation.value,
    )


def _state_dict(name: str, weights: Any) -> dict[str, torch.Tensor]:
    path = cached_path(weights.url)
    there = path.is_file()
    size = weights.meta.get("_file_size")
    if not there:
        about = f"{name} ({size:.0f} MB)" if size else name
        logger.warning("downloading the ImageNet weights of %s to %s", about, path)
    try:
        # torch announces a download on either, according to its version
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), _timeout(TIMEOUT):
            return weights.get_state_dict(
                map_location="cpu", check_hash=True, weights_only=True, progress=False
            )
    except Exception as error:  # damage and lack of network come as a dozen types
        if there:
            raise ValueError(
                f"torchvision_weights: {path} is damaged ({type(error).__name__}): delete it, and "
                "it is downloaded again"
            ) from error
        raise ConnectionError(
            f"torchvision_weights: the ImageNet weights of {name}"
            f"{f' ({size:.0f} MB)' if size else ''} are not in {path} and cannot be downloaded "
            f"({_reason(error)}). Get {weights.url} elsewhere and put it there, or use "
            "pretrained.small_vgg(), which needs no download"
        ) from error


def _counters(model: nn.Module) -> dict[str, torch.Tensor]:
    """Batch normalisation's counts of batches, which torchvision's oldest files lack."""
    return {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}


def _reason(error: Exception) -> str:
    text = str(getattr(error, "reason", None) or error).strip().splitlines()
    return text[0] if text else type(error).__name__
