"""What pretrain_small_vgg.py hands over: the weights, their model card, curve, log and record."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_vgg_data import Images, normalise
from torch import nn

from cnnlib import metrics
from cnnlib.pytorch import checkpoint, data
from cnnlib.pytorch.history import History
from cnnlib.pytorch.models import SmallVGG

NAME = "small_vgg_cifar10"

CARD = """# Model card: SmallVGG, pre-trained on CIFAR-10

*Written by `benchmarks/pretrain_small_vgg.py`; every number comes from the run.*

| | |
|---|---|
| Network | `cnnlib.pytorch.models.SmallVGG`: {layers} |
| Parameters | {parameters:,} |
| File | `{name}.safetensors`, {bytes:,} bytes, fp16; load into fp32 with `checkpoint.load_weights` |
| SHA-256 | `{sha256}` |
| Input | RGB, 32x32, values in 0..1, less the mean {mean}, divided by the deviation {std} |
| Output | logits of {classes} |
| Accuracy on `val` | **{val_accuracy:.4f}** of {val_images:,} images, from the very file, no test-time augmentation |
| Accuracy on `val`, probabilities of the image and its mirror image averaged | {val_mirrored_accuracy:.4f} |
| Accuracy on images held out of `train` | {held_out_accuracy:.4f} of {held_out_images:,} |

## Data

{data}

The network saw {train_images:,} images of `train`.

## Training

```
{command}
```

{date}, {machine}, processes: {processes}; {hours:.2f} hours with other work beside it. Versions: {versions}.

{recipe}

Each restart begins a round. The last round begins at the mean of what the rounds before it ended with, and takes
sharpness-aware gradients (`benchmarks/sam.py`), with rho as the length of a look uphill.

![Loss and accuracy per epoch, training and held-out images]({name}.png)

Every epoch is in `{name}.csv`. While images are small (the first epochs), the held-out images are still seen
at full size, so that the two curves of accuracy are not alike there. The curve shows the weights after each epoch; the
file holds their mean over the last {averaged} epochs, with the statistics of batch normalisation measured again on
images of `train`.

## Accuracy per class on `val`

| class | accuracy (recall) | most often taken for |
|---|---|---|
{per_class}

## What it is for

Chapter 11 fine-tunes it to road signs. It plays the part there that ImageNet's weights play for VGG16. It knows ten kinds
of things at 32x32 pixels and nothing else: it has no class for "none of these", and a high probability is no proof.

## Licence and terms

The weights are part of this project, under its MIT licence. CIFAR-10's authors publish no licence; they ask to cite
A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009, <https://www.cs.toronto.edu/~kriz/cifar.html>.
Its pictures were collected from the web and belong to their makers: none of them travels with this project. CIFAR-10
is a subset, labelled anew, of the Tiny Images collection.
"""  # noqa: E501 (rows of tables)


def probe_images(count: int = 4) -> torch.Tensor:
    """Bytes (count, 3, 32, 32) from whole-number arithmetic, the same on every machine."""
    k, c, i, j = np.ogrid[:count, :3, :32, :32]
    stripes = (i * (k + 1) * 3 + j * (5 - k) * 2 + c * 70) % 256
    blob = 255 - np.minimum(255, ((i - 10 - 3 * k) ** 2 + (j - 16) ** 2) * 2)
    return torch.from_numpy(np.where(blob > 60, blob - 40 * (c == k % 3), stripes)).to(torch.uint8)


def logits_of(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Logits (N, classes) of bytes (N, 3, H, W), without training."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(normalise(part)) for part in x.split(250)])


def save(model: nn.Module, classes: list[str], file: Path) -> SmallVGG:
    """Write fp16 weights with all that is needed to use them, and load them again."""
    texts = {
        "architecture": "cnnlib.pytorch.models.SmallVGG",
        "classes": json.dumps(classes),
        "mean": json.dumps(list(data.CIFAR10_MEAN)),
        "std": json.dumps(list(data.CIFAR10_STD)),
        "input": "RGB, 32x32, values in 0..1, less mean, divided by std",
        "licence": "MIT",
    }
    checkpoint.save_weights(model, file, dtype=torch.float16, metadata=texts)
    loaded = SmallVGG(len(classes))
    checkpoint.load_weights(loaded, file)
    return loaded


def report(
    folder: Path,
    model: nn.Module,
    history: History,
    facts: dict[str, Any],
    held_out: Images,
    val: Images,
) -> dict[str, Any]:
    """Save the weights, evaluate the saved file on val, write card, log and curve.

    Args:
        folder: Where the files go.
        model: The trained network.
        history: Of the training.
        facts: command, recipe, data, train_images, processes: what only the training knows.
        held_out: Images kept out of train.
        val: Images that nothing has seen.

    Returns:
        The record, for data/measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{NAME}.safetensors"
    loaded = save(model, val.classes, file)
    size = len(val.classes)
    held = metrics.accuracy(logits_of(loaded, held_out.x).numpy(), held_out.y.numpy())
    plain = logits_of(loaded, val.x).softmax(1)
    predictions = plain.argmax(1).numpy()
    mirrored = (plain + logits_of(loaded, val.x.flip(3)).softmax(1)).argmax(1).numpy()
    matrix = metrics.confusion_matrix(val.y.numpy(), predictions, size)
    recall = np.diag(matrix) / matrix.sum(1)
    history.to_csv(folder / f"{NAME}.csv")
    _curve(history, folder / f"{NAME}.png")
    record = {
        "what": "SmallVGG pre-trained on CIFAR-10 (JPEG copy): accuracy of the saved fp16 weights",
        "command": facts["command"],
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {n: metadata.version(n) for n in ("numpy", "torch", "safetensors")},
        "processes": facts["processes"],
        "data": facts["data"],
        "recipe": facts["recipe"],
        "parameters": sum(p.numel() for p in loaded.parameters()),
        "file": file.name,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "classes": val.classes,
        "mean": list(data.CIFAR10_MEAN),
        "std": list(data.CIFAR10_STD),
        "train_images": facts["train_images"],
        "held_out_images": len(held_out.y),
        "held_out_accuracy": round(held, 4),
        "val_images": len(val.y),
        "val_accuracy": round(float(np.mean(predictions == val.y.numpy())), 4),
        "val_mirrored_accuracy": round(float(np.mean(mirrored == val.y.numpy())), 4),
        "per_class": {c: round(float(r), 4) for c, r in zip(val.classes, recall, strict=True)},
        "confusion": matrix.tolist(),
        "seconds": round(sum(history["seconds"])),
        "history": [{k: round(v, 5) for k, v in row.items()} for row in history.rows],
        "probe_logits": [
            [round(v, 4) for v in row] for row in logits_of(loaded, probe_images()).tolist()
        ],
    }
    (folder / f"{NAME}.md").write_text(card(record, loaded), encoding="utf-8", newline="\n")
    return record


def card(record: dict[str, Any], model: SmallVGG) -> str:
    """The model card of a record."""
    rows = []
    for k, (name, recall) in enumerate(record["per_class"].items()):
        others = [n * (j != k) for j, n in enumerate(record["confusion"][k])]
        other = int(np.argmax(others))
        taken = f"{record['classes'][other]} ({others[other]})" if any(others) else "nothing"
        rows.append(f"| {name} | {recall:.3f} | {taken} |")
    named = {"Conv2d": "conv", "MaxPool2d": "max-pool"}
    layers = [
        f"{named[kind]} {layer.out_channels}" if kind == "Conv2d" else named[kind]
        for layer in model.features
        if (kind := type(layer).__name__) in named
    ]
    return CARD.format(
        **{
            **record,
            "name": NAME,
            "averaged": record["recipe"]["averages"][-1],
            "layers": ", ".join(layers) + "; global mean; one dense layer",
            "classes": ", ".join(record["classes"]),
            "mean": tuple(record["mean"]),
            "std": tuple(record["std"]),
            "hours": record["seconds"] / 3600,
            "versions": ", ".join(f"{n} {v}" for n, v in record["versions"].items()),
            "recipe": "\n".join(f"- {k}: {v}" for k, v in record["recipe"].items()),
            "per_class": "\n".join(rows),
        }
    )


def _curve(history: History, file: Path) -> None:
    """Draw the history, in a size that reads well on a page."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure = history.plot()[0].figure
    figure.tight_layout()
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)
