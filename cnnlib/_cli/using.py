"""The commands evaluate and predict: what a trained network is worth, and what it says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import typer

from cnnlib import metrics
from cnnlib._cli import checks, stored
from cnnlib._cli.options import PICTURES
from cnnlib._cli.sources import Pictures, Source
from cnnlib._cli.training import finite, numbers
from cnnlib.pytorch import data
from cnnlib.pytorch._images import files_in
from cnnlib.pytorch.evaluate import evaluate as measure
from cnnlib.pytorch.evaluate import place

DEFAULTS = {"images": 2000, "val_share": 0.2, "test_share": 0.0, "seed": 0, "check": True}


def evaluate(
    model: str,
    source: str | None,
    part: str | None,
    batch_size: int,
    workers: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Measure a run on a part of its own data, or on other pictures of the same classes.

    Without a part: its own validation part, or all of the other pictures.
    """
    where = checks.device(device)
    network, recipe, _ = checks.trained(model, "--model")
    config = _config(model)
    told = _source(model, config, source)
    part = part or ("val" if source is None else "all")
    if part == "all":  # nothing to split: a class may have a single picture
        pictures = Pictures(told._replace(val_share=0.0, test_share=0.0))
        chosen = pictures.everything(recipe.transform())
    else:
        pictures = Pictures(told)
        if source is None:
            hint = f"; to measure all that is there now: --data {told.data}"
            pictures.check_unchanged(config.get(PICTURES), hint)
        chosen = pictures.need(part, recipe.transform())
    if list(chosen.classes) != list(recipe.classes):
        raise ValueError(
            f"the network knows {', '.join(recipe.classes[:5])}, ...; "
            f"the pictures are {', '.join(chosen.classes[:5])}, ...: other classes"
            if len(recipe.classes) > 5
            else f"the network knows {', '.join(recipe.classes)}; the pictures are "
            f"{', '.join(chosen.classes)}: other classes"
        )
    network.to(where)
    loader = data.loader(chosen, batch_size, workers=workers)
    result = measure(network, loader, keep_logits=True)
    assert result.logits is not None
    assert result.labels is not None
    guesses = result.logits.argmax(1).numpy()
    matrix = metrics.confusion_matrix(result.labels.numpy(), guesses, len(recipe.classes))
    scores = metrics.precision_recall_f1(matrix)
    table = [
        {"class": name, "examples": int(matrix[k].sum()), "precision": float(scores.precision[k]),
         "recall": float(scores.recall[k]), "f1": float(scores.f1[k])}
        for k, name in enumerate(recipe.classes)
    ]  # fmt: skip
    if as_json:
        report = {"part": part, **numbers(result), "skipped": pictures.skipped, "classes": table}
        typer.echo(json.dumps({**report, "confusion": matrix.tolist()}, allow_nan=False))
        return
    typer.echo(f"{part}: {result}")
    width = max(len("class"), *(len(name) for name in recipe.classes))
    typer.echo(f"{'class':<{width}}  examples  precision  recall     f1")
    for row in table:
        typer.echo(
            f"{row['class']:<{width}}  {row['examples']:8}  {row['precision']:9.3f}  "
            f"{row['recall']:6.3f}  {row['f1']:5.3f}"
        )


def _config(model: str) -> dict[str, Any]:
    """What the run was told; nothing if this is no run's folder."""
    folder = Path(model)
    return stored.read(folder) if (folder / stored.CONFIG).is_file() else {}


def _source(model: str, config: dict[str, Any], source: str | None) -> Source:
    """The data of the run, or others; to be split as the run split them."""
    options = {**DEFAULTS, **{k: config[k] for k in Source._fields if k in config}}
    if source is not None:
        options.update(data=source, check=True)
    if "data" not in options:
        raise ValueError(f"evaluate: say which pictures, --data FOLDER: {model} is no run's folder")
    return Source.of(options)


def predict(
    paths: list[Path], model: str, top: int, batch_size: int, device: str | None, as_json: bool
) -> None:
    """Say what is on pictures: the likeliest classes, each with its probability."""
    where = checks.device(device)
    network, recipe, _ = checks.trained(model, "--model")
    network.to(where)
    transform = recipe.transform()
    answers: list[dict[str, Any]] = []
    problems: list[tuple[str, str]] = []
    batch: list[tuple[str, torch.Tensor]] = []

    def answer() -> None:
        for (name, _), row in zip(batch, _probabilities(network, batch), strict=True):
            best = row.topk(min(top, len(recipe.classes)))
            guesses = [
                {"class": recipe.classes[k], "index": k, "probability": p}
                for p, k in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            ]
            written = [{**g, "probability": finite(g["probability"])} for g in guesses]
            answers.append({"path": name, "predictions": written})
            if not as_json:
                lines = (f"  {g['probability']:.4f}  {g['class']}" for g in guesses)
                typer.echo("\n".join([name, *lines]))
        batch.clear()

    for path in _files(paths):
        try:
            batch.append((str(path), transform(data.open_rgb(path))))
        except ValueError as error:
            problems.append((str(path), str(error)))
            continue
        if len(batch) == batch_size:
            answer()
    answer()
    if as_json:
        skipped = [{"path": name, "reason": reason} for name, reason in problems]
        typer.echo(json.dumps({"images": answers, "skipped": skipped}, allow_nan=False))
    for name, reason in problems:
        typer.echo(f"cnnlib: skipped {name}: {reason}", err=True)
    named = {str(path) for path in paths}
    if not answers or any(name in named for name, _ in problems):
        raise typer.Exit(1)


def _probabilities(network: torch.nn.Module, batch: list[tuple[str, torch.Tensor]]) -> Any:
    if not batch:
        return []
    x = torch.stack([image for _, image in batch]).to(place(network))
    with torch.inference_mode():
        return torch.softmax(network(x).float(), dim=1).cpu()


def _files(paths: list[Path]) -> Iterator[Path]:
    """The files that were named, and all but hidden ones in the folders that were named."""
    for path in paths:
        if path.is_dir():
            found = files_in(path)
            if not found:
                raise ValueError(f"predict: there is no file in {path}")
            yield from found
        elif path.exists():
            yield path
        else:
            raise ValueError(f"predict: there is no file {path}")
