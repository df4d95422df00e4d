"""Options, looked at before anything is written; and what can be typed without a network."""

from typing import Any

import torch
import typer
from torch import nn

from cnnlib.pytorch import finetune, runs
from cnnlib.pytorch.recipe import Recipe


def device(name: str | None) -> torch.device:
    """Where to compute: as ``--device`` says, or on CUDA if there is one.

    Raises:
        typer.BadParameter: If there is no such device here.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not name:
        return torch.device("cuda" if count else "cpu")
    try:
        where = torch.device(name)
        if where.type == "cuda":  # not touched: under torchrun each process takes its own
            there = (where.index or 0) < count
        else:
            there = torch.zeros(1, device=where).cpu().numel() == 1
    except (RuntimeError, AssertionError):  # the latter of a torch that was built without it
        there = False
    if not there:
        here = ", ".join(
            ["cpu", *(["cuda"] if count else []), *(f"cuda:{k}" for k in range(count))]
        )
        raise typer.BadParameter(f"--device must be one that is here ({here}), got {name!r}")
    return where


def finetuning(options: dict[str, Any]) -> None:
    """Whether the options of finetune go together.

    Raises:
        typer.BadParameter: If not; the message names the option.
    """
    decay, dropout = options["decay"], options["dropout"]
    if not 0 < decay <= 1:
        raise typer.BadParameter(f"--decay must be more than 0 and at most 1, got {decay}")
    if not 0 <= dropout < 1:
        raise typer.BadParameter(f"--dropout must be at least 0 and below 1, got {dropout}")
    if options["last"] is not None and options["method"] != "partial":
        raise typer.BadParameter(f"--last goes with --method partial, got {options['method']}")


def last(wanted: int | None, model: nn.Module) -> None:
    """Whether a network has as many stages before its head as ``--last`` says.

    Raises:
        typer.BadParameter: If it has fewer.
    """
    before = len(finetune.stages(model)) - 1
    if wanted is not None and wanted > before:
        raise typer.BadParameter(
            f"--last must be from 0 to {before}, the stages before the head, got {wanted}"
        )


def validation(options: dict[str, Any], training: Any) -> None:
    """Whether a training without validation pictures is told to judge its epochs.

    Raises:
        ValueError: If it is; the message names the option.
    """
    wanted = {
        "--patience": training.patience is not None,
        "--schedule plateau": training.schedule == "plateau",
    }
    for name, on in wanted.items():
        if on:
            raise ValueError(
                f"{name} needs pictures to validate on, of {options['data']} there are none: "
                f"--val-share must be more than 0, got {options['val_share']}"
            )


def trained(name: str, option: str) -> tuple[nn.Module, Recipe, runs.Network]:
    """As ``runs.find``; without a network the message says what else can be typed.

    Args:
        name: Of a network, or the folder of a run.
        option: The one that named it.
    """
    try:
        return runs.find(name)
    except ConnectionError as error:
        text = str(error).replace("pretrained.small_vgg()", f"{option} small_vgg")
        raise ConnectionError(text) from error
