"""Image files of any kind as RGB pictures, and a folder of class folders as a data set."""

import importlib
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch.utils.data import Dataset

logger = logging.getLogger("cnnlib.data")

PIXELS = 500_000_000
"""Larger pictures are refused. The largest phones take 200 million; Pillow stops before that."""
MANY_PIXELS = 50_000_000
"""Pictures larger than this are decoded one at a time, for the memory's sake."""

_decoding = threading.Lock()


class _Limit:
    """Who reads now, and Pillow's own limit meanwhile."""

    lock = threading.Lock()
    readers = 0
    before: int | None = None


_limit = _Limit()


def _register_heif() -> None:
    """Let Pillow read HEIC, as iPhones store it, where the package for it is installed."""
    with suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()


_register_heif()


def open_rgb(path: str | Path) -> Image.Image:
    """Read an image file as an upright 8-bit RGB picture.

    The camera's EXIF rotation is applied; what is transparent is laid on white; greyscale, palette,
    CMYK and 16-bit pictures are converted; of an animation the first frame counts.

    Args:
        path: The file.

    Raises:
        ValueError: If the file is no image, a truncated one or one of more than 500 million pixels;
            the message names it.
    """
    path = Path(path)
    try:
        with _without_warnings():
            return _read(path)
    except Exception as error:  # a broken file makes decoders raise almost anything
        raise ValueError(f"cannot read image {path}: {_reason(error, path)}") from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """No word about odd metadata; what matters raises.

    The filters of warnings belong to the whole process: to be entered outside of a pool of threads,
    which would put them back in another order than they took them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read(path: Path, hint: int | None = None) -> Image.Image:
    with _own_limit(), Image.open(path) as file, _decoding if _large(file) else nullcontext():
        if hint is not None and file.format == "JPEG":
            file.draft("RGB", (hint, hint))  # all of the file is parsed, few pixels are made
        file.load()
        try:
            picture = ImageOps.exif_transpose(file)
        except Exception:  # damaged EXIF data do not damage the picture
            picture = file.copy()
        return _to_rgb(picture)


@contextmanager
def _own_limit() -> Iterator[None]:
    """Pillow's limit belongs to the whole process: whoever comes last out of here puts it back."""
    with _limit.lock:
        if _limit.readers == 0:
            _limit.before = Image.MAX_IMAGE_PIXELS
            if _limit.before is not None:
                Image.MAX_IMAGE_PIXELS = max(_limit.before, PIXELS // 2)  # it refuses twice as many
        _limit.readers += 1
    try:
        yield
    finally:
        with _limit.lock:
            _limit.readers -= 1
            if _limit.readers == 0:
                Image.MAX_IMAGE_PIXELS = _limit.before


def _large(picture: Image.Image) -> bool:
    return picture.width * picture.height > MANY_PIXELS


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return Image.fromarray(_to_bytes(np.asarray(picture))).convert("RGB")
    if picture.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Deep greyscale as bytes: integers are 16 bits deep, floating values lie in [0, 1]."""
    if values.dtype.kind == "f":
        return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return (np.clip(values, 0, 65535).astype(np.uint32) // 257).astype(np.uint8)


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {PIXELS // 10**6} million pixels"
    if isinstance(error, OSError) and error.errno is not None:  # not there, not allowed
        return str(error).splitlines()[0]
    missing = _missing(path)
    if missing or isinstance(error, Image.UnidentifiedImageError):
        return missing or "not an image"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _missing(path: Path) -> str | None:
    """What has to be installed before a file of this name can be read; None if nothing."""
    kind = path.suffix.lower()
    if kind in Image.registered_extensions():
        return None
    if kind in (".heic", ".heif"):
        return "HEIC needs the package pillow-heif"
    return "AVIF needs Pillow 11.3 or newer" if kind == ".avif" else None


class ImageFolder(Dataset):
    """Pictures in one folder per class; made by :func:`cnnlib.pytorch.data.image_folder`.

    Attributes:
        root: The folder.
        classes: Names of the class folders, sorted; label k is ``classes[k]``.
        samples: (path, label) of each picture that can be read, sorted.
        targets: The labels alone.
        skipped: (path, reason) of each file that cannot.
        transform: Called with the RGB picture (PIL); None gives the picture itself.
    """

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Any], Any] | None = None,
        *,
        check: bool = True,
    ):
        self.root, self.transform = Path(root), transform
        if not self.root.is_dir():
            raise ValueError(f"image_folder: {root} is not a folder")
        folders = [p for p in self.root.iterdir() if p.is_dir() and not _hidden(p)]
        folders.sort(key=lambda p: p.name)  # paths themselves compare otherwise on Windows
        if not folders:
            raise ValueError(
                f"image_folder: {root} has no class folders; expected {root}/<class>/<image>"
            )
        self.classes = [folder.name for folder in folders]
        self.samples: list[tuple[Path, int]] = []
        self.skipped: list[tuple[Path, str]] = []
        for label, folder in enumerate(folders):
            self._take(folder, label, check)
        self.targets = [label for _, label in self.samples]
        if self.skipped:
            shown = ", ".join(f"{p.relative_to(self.root)} ({r})" for p, r in self.skipped[:5])
            more = ", ..." if len(self.skipped) > 5 else ""
            total = len(self.skipped) + len(self.samples)
            logger.warning(
                "skipped %d of %d files in %s: %s%s", len(self.skipped), total, root, shown, more
            )

    def _take(self, folder: Path, label: int, check: bool) -> None:
        """Sort the files of a class into samples and skipped."""
        files = files_in(folder)
        if not files:
            raise ValueError(f"image_folder: class folder {folder} is empty")
        if check:
            with _without_warnings(), ThreadPoolExecutor() as pool:
                problems = list(pool.map(_problem, files))
        else:
            known = Image.registered_extensions()
            problems = [
                None if p.suffix.lower() in known else _missing(p) or "not an image" for p in files
            ]
        for path, problem in zip(files, problems, strict=True):
            if problem is None:
                self.samples.append((path, label))
            else:
                self.skipped.append((path, problem))
        if all(problems):
            raise ValueError(
                f"image_folder: class folder {folder} has no image that can be read; "
                f"the first of its {len(files)} files: {files[0].name} ({problems[0]})"
            )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        picture = open_rgb(path)
        return (picture if self.transform is None else self.transform(picture)), label

    def __repr__(self) -> str:
        text = f"{len(self.samples)} images of {len(self.classes)} classes in {self.root}"
        return f"ImageFolder({text}, {len(self.skipped)} files skipped)"


def files_in(folder: Path) -> list[Path]:
    """All files below a folder but hidden ones, in the same order on every system."""
    found = (p for p in folder.rglob("*") if p.is_file())
    visible = (p for p in found if not any(map(_hidden, [p, *_between(p, folder)])))
    return sorted(visible, key=lambda p: p.relative_to(folder).as_posix())


def _between(path: Path, folder: Path) -> list[Path]:
    return [parent for parent in path.parents if folder in parent.parents]


def _hidden(path: Path) -> bool:
    """Such as .DS_Store or .ipynb_checkpoints: put there by programs, not by people."""
    return path.name.startswith(".") or path.name in ("Thumbs.db", "desktop.ini")


def _problem(path: Path) -> str | None:
    """Why a file cannot be read as an image; None if it can."""
    try:
        _read(path, hint=64)
    except Exception as error:
        return _reason(error, path)
    return None
