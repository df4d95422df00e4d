"""What the folder of a run says about it, and whether a resumed run is the same."""

import hashlib
import json
from pathlib import Path
from typing import Any

from cnnlib._cli.options import BASE_WEIGHTS, PICTURES
from cnnlib._cli.sources import Pictures
from cnnlib.pytorch import checkpoint, runs
from cnnlib.pytorch.recipe import Recipe
from cnnlib.pytorch.train_state import LAST

CONFIG = "config.json"
FREE = ("data", "out", "device", "workers", "quiet", "tensorboard", "base", "check")
"""What may be another in a resumed run: where the same files are, how they are computed on."""
KINDS: dict[str, Any] = {
    "data": str, "images": int, "val_share": int | float, "test_share": int | float, "seed": int,
    "check": bool, "base": str, PICTURES: dict,
}  # fmt: skip


def begun(folder: Path) -> str | None:
    """The file that shows that something was trained; None if a run would lose nothing there."""
    return next((name for name in (LAST, runs.WEIGHTS) if (folder / name).exists()), None)


def read(folder: Path) -> dict[str, Any]:
    """What ``config.json`` says.

    Raises:
        ValueError: If it does not hold what it should; the message names the file.
    """
    path = folder / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(
            f"{path} is damaged: it must hold names and values, got {type(values).__name__}"
        )
    for name, kind in KINDS.items():
        if name in values and not isinstance(values[name], kind):
            raise ValueError(f"{path} is damaged: {name} is {values[name]!r}")
    for name, part in values.get(PICTURES, {}).items():
        if not isinstance(part, dict) or not isinstance(part.get("count"), int):
            raise ValueError(f"{path} is damaged: {PICTURES} has {name} {part!r}")
    return values


def write(path: Path, values: dict[str, Any]) -> None:
    """Write JSON, the whole file or nothing."""
    with checkpoint.replacing(path) as file:
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
        file.write(f"{text}\n".encode())


def weights_hash(base: str) -> str | None:
    """SHA-256 of the weights of a run that is built on; None of a network that has a name."""
    path = Path(base) / runs.WEIGHTS
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_same(
    folder: Path, told: dict[str, Any], network: runs.Network, recipe: Recipe, pictures: Pictures
) -> None:
    """Whether a resumed run is the one in the folder: before anything is written.

    Raises:
        ValueError: If an option, the network, the weights it began with or the pictures differ.
    """
    stored = read(folder)
    then = stored.pop(PICTURES, None)
    differ = [
        f"{name} was {stored[name]!r}, is {told[name]!r}"
        for name in stored
        if name in told and name not in (*FREE, BASE_WEIGHTS) and stored[name] != told[name]
    ]
    differ += _other_base(stored, told)
    if differ:
        raise ValueError(f"{folder} is of another run: {'; '.join(differ)}")
    if not runs.is_described(folder, network, recipe):
        raise ValueError(
            f"{folder} is of another run: its {runs.DESCRIPTION} has another network or classes"
        )
    pictures.check_unchanged(then)


def _other_base(stored: dict[str, Any], told: dict[str, Any]) -> list[str]:
    """How the bases differ. A folder may have moved if its weights are the same.

    They count even where ``last.pt`` holds a whole network: that of a probe holds a head alone.
    """
    then, now = stored.get(BASE_WEIGHTS), told.get(BASE_WEIGHTS)
    if then is not None and now is not None:
        return [] if then == now else [f"base {told['base']} has other weights"]
    if stored.get("base") == told.get("base"):
        return []
    return [f"base was {stored.get('base')!r}, is {told.get('base')!r}"]
