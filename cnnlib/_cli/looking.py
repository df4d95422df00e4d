"""The commands summary and bench: what a network consists of and how fast it is here."""

import json
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import typer
from torch import nn
from torchvision.models import get_model

from cnnlib._cli import checks
from cnnlib._cli.training import versions
from cnnlib.pytorch import models, runs
from cnnlib.pytorch.evaluate import mixed
from cnnlib.pytorch.summary import summary as summarise


def network(name: str, classes: int | None) -> tuple[nn.Module, tuple[int, int, int]]:
    """A network with random weights and the size of its images, by name or from a run's folder.

    Without a number of classes it has as many as it was drawn for; torchvision's have 1,000.

    Raises:
        ValueError: If there is none.
    """
    if Path(name).is_dir():
        if classes is not None:
            raise ValueError(f"--classes must be left out with a run, {name} has its own")
        model, recipe, _ = runs.untrained(name)
        return model, (len(recipe.mean), recipe.size, recipe.size)
    if name in models.names():
        return models.build(name, classes=classes), models.input_size(name)
    try:
        outputs = 1000 if classes is None else classes
        return get_model(name, weights=None, num_classes=outputs), (3, 224, 224)
    except ValueError:
        models.build(name)  # says what there is
        raise


def summary(name: str, size: int | None, classes: int | None, stages: bool, as_json: bool) -> None:
    """Print layers, output shapes, parameters and multiply-accumulates."""
    with torch.device("meta"):
        model, image = network(name, classes)
    if size is not None:
        image = (image[0], size, size)
    table = summarise(model, image)
    if stages:
        table = table.stages()
    if not as_json:
        typer.echo(str(table))
        return
    rows = [
        {"name": r.name, "layer": r.layer, "shape": list(r.shape), "parameters": r.parameters,
         "macs": r.macs}
        for r in table.rows
    ]  # fmt: skip
    total = {"parameters": table.parameters, "macs": table.macs}
    typer.echo(json.dumps({"input": list(image), **total, "rows": rows}, allow_nan=False))


def bench(
    name: str,
    size: int | None,
    batch_size: int,
    steps: int,
    precision: str,
    channels_last: bool,
    compile_: bool,
    device: str | None,
    as_json: bool,
) -> None:
    """Time inference and training steps on random images; print images per second."""
    where = checks.device(device)
    model, image = network(name, None)
    if size is not None:
        image = (image[0], size, size)
    macs = summarise(model, image).macs
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model.to(where)
    model.to(memory_format=layout)
    x = torch.randn(batch_size, *image, device=where).contiguous(memory_format=layout)
    labels = torch.arange(batch_size, device=where) % 2
    runner: Any = torch.compile(model) if compile_ else model
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)

    def infer() -> None:
        with torch.inference_mode(), mixed(where, precision):
            runner(x)

    def train() -> None:
        optimizer.zero_grad()
        with mixed(where, precision):
            logits = runner(x)
        nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    report: dict[str, Any] = {
        "network": name, "image": list(image), "batch": batch_size, "precision": precision,
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
        "threads": torch.get_num_threads(), "macs": macs, "versions": versions(),
    }  # fmt: skip
    # A training step costs about three forward passes: one forward, two of its size backward.
    for what, step, passes in (("inference", infer, 1), ("training", train, 3)):
        model.train(what == "training")
        seconds = _seconds(step, steps, where)
        rate = batch_size / seconds
        report[what] = {
            "images_per_second": rate,
            "tflops": 2 * passes * macs * rate / 1e12,
        }
    if as_json:
        typer.echo(json.dumps(report, allow_nan=False))
        return
    typer.echo(f"{name}, {batch_size} images of {image}, {precision}, on {report['device']}")
    for what in ("inference", "training"):
        speed = report[what]
        typer.echo(
            f"{what:<10}{speed['images_per_second']:12,.1f} images/s{speed['tflops']:10.3f} TFLOP/s"
        )


def _seconds(step: Any, steps: int, device: torch.device) -> float:
    """Mean time of a step, after two that warm up; a GPU is waited for before the clock is read."""
    for _ in range(2):
        step()
    _wait(device)
    start = perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return (perf_counter() - start) / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
