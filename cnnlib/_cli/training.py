"""The commands train and finetune: from options to a folder that predict can use."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from cnnlib import __version__
from cnnlib._cli import Interrupted, checks, rank, stored
from cnnlib._cli.options import BASE_WEIGHTS, PICTURES
from cnnlib._cli.sources import Pictures, Source, transforms
from cnnlib._cli.stored import CONFIG
from cnnlib.pytorch import data, finetune, models, runs
from cnnlib.pytorch._loading import training_loader
from cnnlib.pytorch.evaluate import Evaluation, evaluate
from cnnlib.pytorch.history import tensorboard_writer
from cnnlib.pytorch.recipe import Recipe
from cnnlib.pytorch.train import History, TrainConfig, fit
from cnnlib.pytorch.train_state import LAST

GREY = ((0.5,), (0.25,))


def first() -> bool:
    """Whether this process speaks and writes: the only one, or torchrun's number 0."""
    return rank() == "0"


def say(text: str) -> None:
    """Print, once."""
    if first():
        typer.echo(text)


def train(options: dict[str, Any], training: TrainConfig) -> None:
    """Train a network from new random weights."""
    checks.device(options["device"])
    pictures = Pictures(Source.of({**options, "seed": training.seed}))
    network, recipe = new_network(options["model"], options["size"], pictures.classes)
    _run("train", options, training, pictures, network, recipe, None)


def finetune_(options: dict[str, Any], training: TrainConfig) -> None:
    """Put a new head on a trained network and train what the method says."""
    checks.device(options["device"])
    checks.finetuning(options)
    pictures = Pictures(Source.of({**options, "seed": training.seed}))
    model, recipe, base = checks.trained(options["base"], "--base")
    head = {
        "classes": len(pictures.classes),
        "hidden": options["hidden"],
        "dropout": options["dropout"],
        "whole": options["whole"],
        "seed": training.seed,
    }
    network = runs.Network(base.name, base.classes, base.options, [*base.heads, head])
    finetune.replace_head(model, **head)
    checks.last(options["last"], model)
    recipe = recipe.with_classes(pictures.classes)
    if options["size"] is not None:
        resize = round(recipe.resize * options["size"] / recipe.size)
        recipe = Recipe(options["size"], resize, recipe.mean, recipe.std, recipe.classes)
    _run("finetune", options, training, pictures, network, recipe, model)


def new_network(name: str, size: int | None, classes: list[str]) -> tuple[runs.Network, Recipe]:
    """A network of ours for pictures of some size, and the preparation that it wants.

    Raises:
        ValueError: If there is no such network, or it cannot take that size.
    """
    channels, height, _ = models.input_size(name)
    size = height if size is None else size
    mean, std = (data.IMAGENET_MEAN, data.IMAGENET_STD) if channels == 3 else GREY
    resize = size if size <= 64 else round(size * 256 / 224)
    recipe = Recipe(size, resize, mean, std, tuple(classes))
    options: dict[str, Any] = {}
    if size != height:
        try:  # dense layers that were made for one size of picture are made for this one
            models.build(name, classes=2, input_size=(channels, size, size))
            options = {"input_size": [channels, size, size]}
        except ValueError as error:
            if "has no option" not in str(error):
                raise
    return runs.Network(name, len(classes), options), recipe


def _run(
    command: str,
    options: dict[str, Any],
    training: TrainConfig,
    pictures: Pictures,
    network: runs.Network,
    recipe: Recipe,
    model: Any,
) -> None:
    """What both commands do once they know the network and the pictures."""
    typed, resume = options.pop("typed"), options.pop("resume")
    if resume is not None:
        options["out"] = resume
    folder, resume = Path(options["out"]), resume is not None
    if not resume:
        _check_shares(options, pictures, typed)
    to_train, to_measure = transforms(recipe, options["augment"], options["flip"], options["crop"])
    train_set = pictures.need("train", to_train)
    val_set = pictures.part("val", to_measure)
    if val_set is None:
        checks.validation(options, training)
        training = TrainConfig.from_dict({**training.to_dict(), "restore_best": False})
    if options["tensorboard"]:
        tensorboard_writer()
    told = {"command": command, **options, **training.to_dict(), PICTURES: pictures.listing()}
    if "base" in options:
        told[BASE_WEIGHTS] = stored.weights_hash(options["base"])
    there = stored.begun(folder)
    if there and not resume:
        raise ValueError(
            f"{folder} holds a run already ({there}): choose another --out, or --resume {folder}"
        )
    if there:
        stored.check_same(folder, told, network, recipe, pictures)
    elif first():  # resumed or not: one that was killed before its first epoch begins anew
        stored.write(folder / CONFIG, told)
        runs.describe(folder, network, recipe)
    say(pictures.report())
    common: dict[str, Any] = {
        "folder": folder,
        "resume": resume,
        "device": options["device"],
        "progress": not options["quiet"] and os.isatty(2),
        "on_epoch_end": None if options["quiet"] else _print_epoch(training.epochs),
    }
    sizes = {"batch_size": options["batch_size"], "workers": options["workers"]}
    try:
        if model is None:
            model, history = _train(network, train_set, val_set, training, sizes, common)
        else:
            names = {n: options[n] for n in ("method", "last", "decay")}
            if options["method"] == "probe" and options["augment"]:
                names["cache"] = False  # kept features would be of one variant of each picture
            history = finetune.fine_tune(
                model, train_set, val_set, training, **names, **sizes, **common
            )
    except KeyboardInterrupt as error:
        again = f"go on with: python -m cnnlib {command} --resume {folder}"
        saved = (folder / LAST).is_file()
        raise Interrupted(again if saved else "before the first epoch was saved") from error
    if first():
        test_set = pictures.part("test", to_measure)
        _finish(folder, model, history, {"val": val_set, "test": test_set}, options)
        stored.write(folder / CONFIG, told)  # a resumed run may have found its pictures elsewhere


def _train(
    network: runs.Network,
    train_set: Any,
    val_set: Any,
    training: TrainConfig,
    sizes: dict[str, int],
    common: dict[str, Any],
) -> tuple[Any, History]:
    import torch

    torch.manual_seed(training.seed)  # the new weights
    model = network.build()
    workers, batch_size = sizes["workers"], sizes["batch_size"]
    loaders = (
        training_loader(train_set, batch_size, seed=training.seed, workers=workers),
        None if val_set is None else data.loader(val_set, batch_size, workers=workers),
    )
    return model, fit(model, *loaders, training, **common)


def _check_shares(options: dict[str, Any], pictures: Pictures, typed: list[str]) -> None:
    """Whether a share was asked for that the pictures have no use for.

    Raises:
        ValueError: If one was; the message names the option.
    """
    if options["test_share"] and pictures.own_test:
        raise ValueError(
            f"{options['data']} has a test part of its own: --test-share must be 0 with it, "
            f"got {options['test_share']}"
        )
    if "val_share" in typed and options["val_share"] and pictures.own_val:
        raise ValueError(
            f"{options['data']} has a validation part of its own: leave --val-share out, "
            f"got {options['val_share']}"
        )


def _print_epoch(epochs: int) -> Callable[[dict[str, Any]], None]:
    def show(row: dict[str, Any]) -> None:
        text = f"epoch {row['epoch']}/{epochs}  loss {row['train_loss']:.4f}"
        if row["val_loss"] is not None:
            text += f"  val loss {row['val_loss']:.4f}  val accuracy {row['val_accuracy']:.4f}"
        typer.echo(f"{text}  {row['seconds']:.1f} s")

    return show


def _finish(
    folder: Path, model: Any, history: History, sets: dict[str, Any], options: dict[str, Any]
) -> None:
    """Write weights and history; measure what was trained, write a report; say where all that is.

    The weights first: whatever fails afterwards, they are there.
    """
    runs.save_weights(folder, model)
    history.to_csv(folder / "history.csv")
    report: dict[str, Any] = {"versions": versions(), "epochs": len(history)}
    for name, part in sets.items():
        if part is not None:
            loader = data.loader(part, options["batch_size"], workers=options["workers"])
            result = evaluate(model, loader)
            report[name] = numbers(result)
            say(f"{name}: {result}")
    if options["tensorboard"]:
        history.to_tensorboard(folder / "tensorboard")
    stored.write(folder / "report.json", report)
    say(f"saved in {folder}; try: python -m cnnlib predict PICTURE --model {folder}")


def numbers(result: Evaluation) -> dict[str, Any]:
    """An evaluation as JSON can hold it."""
    return {
        "examples": result.examples,
        "loss": finite(result.loss),
        "accuracy": finite(result.accuracy),
        "top5": finite(result.top5),
    }


def finite(value: float) -> float | None:
    """A number as JSON can hold it: null stands for NaN and for infinity."""
    return value if math.isfinite(value) else None


def versions() -> dict[str, str]:
    """Of what computes."""
    import torch
    import torchvision

    return {
        "cnnlib": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
