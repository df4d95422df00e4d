"""The data sets that torchvision downloads, kept in one folder, and what stands in offline."""

import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from torchvision import datasets as tv

logger = logging.getLogger("cnnlib.data")

TIMEOUT = 30.0
"""Seconds without an answer after which a download is given up."""
PATIENCE, PAUSE = 3600.0, 0.5
"""Seconds to wait for another process that downloads the same, and between two looks."""
LOCK = ".downloading"
"""Name of the file that is in a folder while a process downloads to it."""


class Source(NamedTuple):
    """How torchvision names a data set, its parts, and what stands in for it offline."""

    make: Callable[..., Any]
    train: dict[str, Any]
    test: dict[str, Any]
    fallback: str


def _parts(train: str, test: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"split": train}, {"split": test}


_BY_FLAG = ({"train": True}, {"train": False})
SOURCES = {
    "mnist": Source(tv.MNIST, *_BY_FLAG, "data.digits_dataset()"),
    "fashion_mnist": Source(tv.FashionMNIST, *_BY_FLAG, "data.digits_dataset()"),
    "cifar10": Source(tv.CIFAR10, *_BY_FLAG, "data.road_signs_dataset(...)"),
    "gtsrb": Source(tv.GTSRB, *_parts("train", "test"), "data.road_signs_dataset(...)"),
    "oxford_pets": Source(
        tv.OxfordIIITPet, *_parts("trainval", "test"), "data.image_folder(...) on your own pictures"
    ),
}

GTSRB_CLASSES = (
    "speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70",
    "speed limit 80", "end of speed limit 80", "speed limit 100", "speed limit 120", "no passing",
    "no passing for lorries", "right of way at the next crossing", "priority road", "yield", "stop",
    "no vehicles", "no lorries", "no entry", "general caution", "left curve", "right curve",
    "double curve", "bumpy road", "slippery road", "road narrows on the right", "road works",
    "traffic lights", "pedestrians", "children", "bicycles", "ice or snow", "wild animals",
    "end of all limits", "turn right", "turn left", "ahead only", "ahead or right",
    "ahead or left", "keep right", "keep left", "roundabout", "end of no passing",
    "end of no passing for lorries",
)  # fmt: skip
"""Names of the 43 classes of the German signs, which torchvision only numbers."""


def cache_folder() -> Path:
    """Where downloads are kept: ``$CNNLIB_CACHE``, or ``.cache/cnnlib`` in the home folder."""
    chosen = os.environ.get("CNNLIB_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "cnnlib"


def torchvision_dataset(
    name: str,
    root: str | Path | None = None,
    train: bool = True,
    transform: Callable[[Any], Any] | None = None,
) -> Any:
    """A well-known data set, downloaded once by torchvision.

    Args:
        name: ``"mnist"``, ``"fashion_mnist"``, ``"cifar10"``, ``"gtsrb"`` or ``"oxford_pets"``.
        root: Folder to look in and to download to; None: :func:`cache_folder`/name.
        train: Its training part, else its test part.
        transform: Called with each picture (PIL).

    Returns:
        torchvision's data set, with ``classes`` and ``targets`` whatever its kind.

    Raises:
        ValueError: If there is no data set of that name.
        ConnectionError: If it is neither there nor can it be downloaded; the message says what can
            be used instead.
    """
    if name not in SOURCES:
        raise ValueError(f"torchvision_dataset: {name!r} is not one of {', '.join(SOURCES)}")
    source = SOURCES[name]
    folder = Path(root) if root is not None else cache_folder() / name
    options = {**(source.train if train else source.test), "transform": transform}
    if not _is_there(source, folder, options):
        try:
            _download(source, folder, options)
        except (OSError, RuntimeError) as error:  # torchvision raises either
            reason = " ".join(str(error).split())  # torchvision's runs over many lines
            raise ConnectionError(
                f"{name} is not in {folder} and cannot be downloaded ({reason}). "
                f"Without a network use {source.fallback}"
            ) from error
    return _named(name, source.make(folder, download=False, **options))


def _is_there(source: Source, folder: Path, options: dict[str, Any]) -> bool:
    try:
        source.make(folder, download=False, **options)
    except (RuntimeError, FileNotFoundError):
        return False
    return True


def _download(source: Source, folder: Path, options: dict[str, Any]) -> None:
    """Download beside its place and move it in whole, so that half a download never counts.

    One process at a time does so; the others wait, and use what it brought.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / LOCK):
        if _is_there(source, folder, options):  # another process was first
            return
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
        try:
            with _timeout(TIMEOUT):
                source.make(partial, download=True, **options)
            _merge(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _merge(source: Path, target: Path) -> None:
    """Move all that is in one folder into another, each file or new folder in a single step.

    A file takes the place of its namesake. torchvision takes a set for complete when a folder is
    there: so folders that are not there yet come last, when all that was begun before is whole.
    """

    def turn(part: Path) -> tuple[int, str]:
        kind = 0 if not part.is_dir() else 1 if (target / part.name).is_dir() else 2
        return kind, part.name

    for part in sorted(source.iterdir(), key=turn):
        place = target / part.name
        if part.is_dir() and place.is_dir():
            _merge(part, place)
        else:
            part.replace(place)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process has the lock, a file; have it; remove it.

    Raises:
        TimeoutError: If it is there for too long; the message says what to do.
    """
    until = time.monotonic() + PATIENCE
    waiting = False
    while True:
        try:
            lock.open("x").close()
            break
        except FileExistsError:
            advice = f"if no other process downloads to {lock.parent}, remove {lock}"
            if time.monotonic() >= until:
                raise TimeoutError(f"waited {PATIENCE:.0f} seconds; {advice}") from None
            if not waiting:
                logger.warning("waiting for another download; %s", advice)
            waiting = True
            time.sleep(PAUSE)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _named(name: str, dataset: Any) -> Any:
    """Give the data sets that lack them ``classes`` and ``targets``."""
    if name == "gtsrb":
        dataset.classes = list(GTSRB_CLASSES)
        dataset.targets = [label for _, label in dataset._samples]
    elif name == "oxford_pets":
        dataset.targets = list(dataset._labels)
    return dataset
