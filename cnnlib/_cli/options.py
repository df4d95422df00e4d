"""Options that commands share: those of a training, and reading them from a file."""

import difflib
import functools
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from cnnlib.pytorch.train_config import CHOICES, TrainConfig

PICTURES = "pictures"
"""What config.json says beside the options: which pictures a run found."""
BASE_WEIGHTS = "base_sha256"
"""And which weights it began with, if they are another run's."""
ENUMS: dict[str, Any] = {
    name: Enum(name.title(), {c: c for c in choices}, type=str) for name, choices in CHOICES.items()
}

HELP = {
    "seed": "Of all that is random: the split, road-signs, new weights and heads, the order of the "
    "examples, dropout, augmentation.",
}
"""Of options that mean more to a command than to a training."""


def training_options(**defaults: Any) -> Callable[[Callable], Callable]:
    """Give a command one option for each field of TrainConfig.

    Name, type, default and help come from the dataclass, so that nothing is said twice. The
    command gets them as one argument, ``training``.

    Args:
        defaults: Where the command's default is not TrainConfig's.
    """

    def decorate(command: Callable) -> Callable:
        @functools.wraps(command)
        def wrapper(**given: Any) -> Any:
            options = {f.name: given.pop(f.name) for f in fields(TrainConfig)}
            training = TrainConfig(**{k: plain(v) for k, v in options.items()})
            return command(**given, training=training)

        own = get_type_hints(command, include_extras=True)
        parameters = [
            p.replace(annotation=own[p.name])
            for p in inspect.signature(command).parameters.values()
            if p.name != "training"
        ]
        parameters += [_parameter(field, defaults) for field in fields(TrainConfig)]
        # Those without a default first, as Python wants it.
        parameters.sort(key=lambda p: p.default is not inspect.Parameter.empty)
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        return wrapper

    return decorate


def _parameter(field: Any, defaults: dict[str, Any]) -> inspect.Parameter:
    kind: Any = ENUMS.get(field.name, field.type)
    default = defaults.get(field.name, field.default)
    if field.name in ENUMS:
        default = ENUMS[field.name](default)
    name = field.name.replace("_", "-")
    flag = f"--{name}/--no-{name}" if field.type is bool else f"--{name}"
    option = typer.Option(flag, help=_help()[field.name], rich_help_panel="Training")
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, option],
    )


def typed(ctx: typer.Context) -> list[str]:
    """Names of the options that stand on the command line, not in a file and not left out."""
    names = [str(p.name) for p in ctx.command.params]
    return [n for n in names if getattr(ctx.get_parameter_source(n), "name", "") == "COMMANDLINE"]


@functools.cache
def _help() -> dict[str, str]:
    """The lines of TrainConfig's docstring, option by option."""
    text = inspect.getdoc(TrainConfig) or ""
    block = text.split("Args:\n")[1].split("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", block, re.MULTILINE)
    lines = {name: " ".join(line.split()).replace("``", "") for name, line in found}
    return {**lines, **HELP}


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def read_config(ctx: typer.Context, value: Path | None) -> Path | None:
    """Callback of ``--config``: what the file says becomes the default of each option.

    Raises:
        typer.BadParameter: If the file cannot be read or names an option that there is not.
    """
    if value is not None and not ctx.resilient_parsing:
        _defaults(ctx, value)
    return value


def read_resume(ctx: typer.Context, value: Path | None) -> Path | None:
    """Callback of ``--resume``: the options of the interrupted run become the defaults."""
    if value is not None and not ctx.resilient_parsing:
        if not (value / "config.json").is_file():
            raise typer.BadParameter(f"{value} has no config.json: it is no folder of a run")
        _defaults(ctx, value / "config.json")
        ctx.default_map = {**(ctx.default_map or {}), "out": str(value)}
    return value


def _defaults(ctx: typer.Context, path: Path) -> None:
    options = _read(path)
    known = [str(p.name) for p in ctx.command.params if p.name not in ("config", "resume", "help")]
    command = options.pop("command", ctx.info_name)
    if command != ctx.info_name:
        raise typer.BadParameter(f"{path} is of the command {command}, this is {ctx.info_name}")
    options = {str(name).replace("-", "_"): v for name, v in options.items()}
    options = {name: v for name, v in options.items() if name not in (PICTURES, BASE_WEIGHTS)}
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {close[0]}?" if close else ""
            raise typer.BadParameter(f"{path} has an unknown option {name!r}{hint}")
    chosen = {name: v for name, v in options.items() if v is not None}
    ctx.default_map = {**(ctx.default_map or {}), **chosen}


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot read {path}: {error}") from error
    try:
        options = _yaml(text) if path.suffix.lower() in (".yaml", ".yml") else json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{path} is no JSON or YAML: {error}") from error
    if not isinstance(options, dict):
        raise typer.BadParameter(f"{path} must hold names and values, got {type(options).__name__}")
    return options


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise typer.BadParameter("YAML needs PyYAML: pip install pyyaml, or write JSON") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
