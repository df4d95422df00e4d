"""The data sets that torchvision downloads, kept in one folder, and what stands in offline."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from torchvision import datasets as tv

TIMEOUT = 30.0
"""Seconds without an answer after which a download is given up."""


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
    """Download beside its place and move it in whole, so that half a download never counts."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        with _timeout(TIMEOUT):
            source.make(partial, download=True, **options)
        for part in list(partial.iterdir()):
            place = folder / part.name
            if place.is_dir():
                shutil.copytree(part, place, dirs_exist_ok=True)
            else:
                part.replace(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
