"""Where the pictures of a command come from: a folder, or a data set by name; and their parts."""

import os
from collections.abc import Callable
from hashlib import sha256
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
    check: bool = True

    @classmethod
    def of(cls, options: dict[str, Any]) -> "Source":
        """From the options of a command."""
        return cls(*(options[name] for name in cls._fields))


class Pictures:
    """The parts of a data source: raw pictures, prepared when a part is asked for.

    A folder is either ``<class>/<image>``, which is split at random (the same for the same seed),
    or ``train/<class>/<image>`` with ``val`` (``valid``, ``validation``) or ``test`` beside it, or
    both; what is missing is split off ``train``: the share for ``val``, the one for ``test`` if it
    was asked for.

    Attributes:
        own_test: Whether the source has a test part of its own; ``test_share`` is then not used.
        own_val: The same of the validation part.

    Raises:
        ValueError: If the source is neither a folder nor a known name, or cannot be split.
        ConnectionError: If a data set is neither there nor can it be downloaded.
    """

    def __init__(self, source: Source):
        self.source = source
        self.skipped = 0
        self.own_test, self.own_val = True, source.data == "road-signs"
        self._parts: dict[str, Any] = {}
        path = Path(source.data)
        if path.is_dir():
            self._from_folder(path)
        elif source.data in DRAWN:
            self._drawn()
        elif source.data in DOWNLOADED:
            name = source.data.replace("-", "_")
            self._split(_downloaded(name, train=True), self.source.val_share)
            self._parts["test"] = _downloaded(name, train=False)
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
        self.own_test, self.own_val = "test" in given, "val" in given
        if not given:
            self._split(self._read(path), self.source.val_share, self.source.test_share)
            return
        self._parts = {name: self._read(folder) for name, folder in given.items()}
        for name, part in self._parts.items():
            if part.classes != self._parts["train"].classes:
                raise ValueError(f"{given[name]} has other class folders than {given['train']}")
        val = 0.0 if "val" in given else self.source.val_share
        test = 0.0 if "test" in given else self.source.test_share
        if val or test:
            self._split(self._parts["train"], val, test)
            self._parts = {name: self._parts[name] for name in PARTS if name in self._parts}

    def _read(self, path: Path) -> data.ImageFolder:
        folder = data.image_folder(path, check=self.source.check)
        self.skipped += len(folder.skipped)
        return folder

    def _split(self, whole: Any, val: float, test: float = 0.0) -> None:
        if val + test > 1 - 1e-9:
            raise ValueError(
                "--val-share and --test-share must leave pictures to train on: together below 1, "
                f"got {val} and {test}"
            )
        shares = {"train": 1 - val - test, "val": val, "test": test}
        names = [name for name, share in shares.items() if share or name == "train"]
        parts = data.split(whole, [shares[name] for name in names], seed=self.source.seed)
        self._parts.update(zip(names, parts, strict=True))

    def _drawn(self) -> None:
        raw = _unchanged
        if self.source.data == "digits":
            self._split(data.digits_dataset("train", raw), self.source.val_share)
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

    def listing(self) -> dict[str, dict[str, Any]]:
        """Of each part the number of pictures and, of a folder's, a hash of their paths."""
        return {
            name: {"count": len(part), "sha256": _hash(part)} for name, part in self._parts.items()
        }

    def check_unchanged(self, then: dict[str, dict[str, Any]] | None, hint: str = "") -> None:
        """Whether the parts are those of a training: one file more, and all of them shift.

        Args:
            then: What :meth:`listing` said; None of a run that did not note it.
            hint: What else can be done, the end of the message.

        Raises:
            ValueError: If a part has more, fewer or other pictures.
        """
        if then is None:
            return
        now, none = self.listing(), {"count": 0, "sha256": None}
        differ = []
        for name in PARTS:
            a, b = then.get(name, none), now.get(name, none)
            if a["count"] != b["count"]:
                differ.append(f"{name} had {a['count']:,}, has {b['count']:,}")
            elif a != b:
                differ.append(f"{name} has others")
        if differ:
            raise ValueError(
                f"the pictures in {self.source.data} have changed since the training: "
                f"{', '.join(differ)}{hint}"
            )

    def report(self) -> str:
        """One line: how many pictures, classes and parts, how many files were skipped."""
        parts = ", ".join(f"{len(part):,} {name}" for name, part in self._parts.items())
        skipped = f", {self.skipped} files skipped" if self.skipped else ""
        return f"{self.source.data}: {len(self.classes)} classes, {parts}{skipped}"


def _downloaded(name: str, train: bool) -> Any:
    """A part of a well-known data set; without a network the message says what can be typed."""
    try:
        return data.torchvision_dataset(name, train=train)
    except ConnectionError as error:
        what, _, _ = str(error).partition(". Without a network use ")
        drawn = "digits" if name.endswith("mnist") else "road-signs"
        raise ConnectionError(f"{what}. Without a network use --data {drawn}") from error


def _divided(path: Path) -> dict[str, Path]:
    """The folders of the parts, if this folder is divided into parts."""
    found = {
        part: path / name
        for part, names in PARTS.items()
        for name in reversed(names)  # the first one counts
        if (path / name).is_dir()
    }
    return found if "train" in found and len(found) > 1 else {}


def _hash(part: Any) -> str | None:
    """SHA-256 of the paths of a part's pictures within its folder; None of a named data set."""
    whole, indices = (
        (part.dataset, part.indices) if isinstance(part, data.Part) else (part, range(len(part)))
    )
    if not isinstance(whole, data.ImageFolder):
        return None
    paths = [whole.samples[k][0].relative_to(whole.root).as_posix() for k in indices]
    return sha256(os.fsencode("\n".join(paths))).hexdigest()


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
