"""Where the pictures of a command come from: a folder, or a data set by name; and their parts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import typer
from torch.utils.data import ConcatDataset

from cnnlib.pytorch import data
from cnnlib.pytorch.recipe import Recipe

DRAWN = ("road-signs", "digits")
DOWNLOADED = ("mnist", "fashion-mnist", "cifar10", "gtsrb", "oxford-pets")
PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""Names of the folder that holds a part."""


class Source(NamedTuple):
    """What a run was told about its data; ``config.json`` holds the same words."""

    data: str
    images: int
    val_share: float
    test_share: float
    seed: int

    @classmethod
    def of(cls, options: dict[str, Any]) -> "Source":
        """From the options of a command."""
        return cls(*(options[name] for name in cls._fields))


class Pictures:
    """The parts of a data source: raw pictures, prepared when a part is asked for.

    A folder is either ``<class>/<image>``, which is split at random (the same for the same seed),
    or ``train/<class>/<image>`` with ``val`` (``valid``, ``validation``) or ``test`` beside it, or
    both; without ``val`` its share comes from ``train``.

    Raises:
        ValueError: If the source is neither a folder nor a known name, or cannot be split.
    """

    def __init__(self, source: Source):
        self.source = source
        self.skipped = 0
        self._parts: dict[str, Any] = {}
        path = Path(source.data)
        if path.is_dir():
            self._from_folder(path)
        elif source.data in DRAWN:
            self._drawn()
        elif source.data in DOWNLOADED:
            name = source.data.replace("-", "_")
            whole = data.torchvision_dataset(name, train=True)
            self._split(whole, None)
            self._parts["test"] = data.torchvision_dataset(name, train=False)
        else:
            names = ", ".join(DRAWN + DOWNLOADED)
            raise ValueError(f"there is no folder {source.data}; data sets by name: {names}")
        self.classes = [str(name) for name in self._parts["train"].classes]
        if len(self.classes) < 2:
            raise ValueError(
                f"{source.data} has one class, {self.classes[0]}: telling apart takes two or more"
            )

    def _from_folder(self, path: Path) -> None:
        given = _divided(path)
        if not given:
            self._split(self._read(path), self.source.test_share)
            return
        self._parts = {name: self._read(folder) for name, folder in given.items()}
        for name, part in self._parts.items():
            if part.classes != self._parts["train"].classes:
                raise ValueError(f"{given[name]} has other class folders than {given['train']}")
        if "val" not in given:
            self._split(self._parts["train"], None)
            self._parts = {name: self._parts[name] for name in PARTS if name in self._parts}

    def _read(self, path: Path) -> data.ImageFolder:
        folder = data.image_folder(path)
        self.skipped += len(folder.skipped)
        return folder

    def _split(self, whole: Any, test_share: float | None) -> None:
        val, test = self.source.val_share, test_share or 0.0
        names, shares = ["train", "val"], [1 - val - test, val]
        if test:
            names, shares = [*names, "test"], [*shares, test]
        if val == 0:
            names, shares = [n for n in names if n != "val"], [s for s in shares if s]
        parts = data.split(whole, shares, seed=self.source.seed)
        self._parts.update(zip(names, parts, strict=True))

    def _drawn(self) -> None:
        raw = _unchanged
        if self.source.data == "digits":
            self._split(data.digits_dataset("train", raw), None)
            self._parts["test"] = data.digits_dataset("test", raw)
            return
        n = self.source.images
        for name, count in (("train", n), ("val", max(n // 4, 28)), ("test", max(n // 4, 28))):
            self._parts[name] = data.road_signs_dataset(count, self.source.seed, name, raw)

    def part(self, name: str, transform: Callable[[Any], Any]) -> Any:
        """The pictures of a part, prepared; None if there is no such part."""
        if name not in self._parts:
            return None
        whole = self._parts[name]
        return data.Part(whole, range(len(whole)), transform)

    def need(self, name: str, transform: Callable[[Any], Any]) -> Any:
        """As :meth:`part`, but a part that is not there is an error."""
        part = self.part(name, transform)
        if part is None:
            raise ValueError(f"{self.source.data} has no part {name!r}, only {list(self._parts)}")
        return part

    def everything(self, transform: Callable[[Any], Any]) -> Any:
        """The pictures of all parts together."""
        whole: Any = ConcatDataset([self.need(name, transform) for name in self._parts])
        whole.classes = self.classes
        return whole

    def report(self) -> str:
        """One line: how many pictures, classes and parts, how many files were skipped."""
        parts = ", ".join(f"{len(part):,} {name}" for name, part in self._parts.items())
        skipped = f", {self.skipped} files skipped" if self.skipped else ""
        return f"{self.source.data}: {len(self.classes)} classes, {parts}{skipped}"


def _divided(path: Path) -> dict[str, Path]:
    """The folders of the parts, if this folder is divided into parts."""
    found = {
        part: path / name
        for part, names in PARTS.items()
        for name in reversed(names)  # the first one counts
        if (path / name).is_dir()
    }
    return found if "train" in found and len(found) > 1 else {}


def _unchanged(image: Any) -> Any:
    return image


def transforms(
    recipe: Recipe, augment: bool, flip: bool, crop: float
) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """How pictures are prepared for training and for measuring.

    Raises:
        typer.BadParameter: If crop is not more than 0 and at most 1.
    """
    if not 0 < crop <= 1:
        raise typer.BadParameter(f"--crop must be more than 0 and at most 1, got {crop}")
    if not augment:
        return recipe.transform(), recipe.transform()
    return recipe.train_transform(flip=flip, scale=(crop, 1.0)), recipe.transform()
