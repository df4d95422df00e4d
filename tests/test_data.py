"""Data sets, split, transforms and loaders: any picture becomes RGB, any order can be repeated."""

import logging
import random
import shutil
import socket
import struct
import sys
import threading
import time
import types
import urllib.error
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from cnnlib import datasets
from cnnlib.pytorch import _downloads, _images, data
from cnnlib.pytorch._transforms import CropEnds
from cnnlib.pytorch.recipe import Recipe

RED, BLUE = (200, 30, 40), (20, 40, 210)


def striped(size=(24, 16)) -> Image.Image:
    """Left half red, right half blue; wider than high."""
    picture = Image.new("RGB", size, RED)
    picture.paste(BLUE, (size[0] // 2, 0, *size))
    return picture


def at(picture, x, y):
    return tuple(int(v) for v in np.asarray(picture)[y, x])


def near(colour, expected, within=6):
    return all(abs(a - b) <= within for a, b in zip(colour, expected, strict=True))


@pytest.fixture
def folder(tmp_path):
    """Two classes with three and two pictures."""
    root = tmp_path / "pets"
    for name, count in (("cat", 3), ("dog", 2)):
        (root / name).mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", (20, 20), (10 * k, 0, 0)).save(root / name / f"{k}.png")
    return root


# --- pictures of every kind ---------------------------------------------------------------------


def save_plain(path):
    striped().save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def save_rotated(path):
    """Stored lying on its side; orientation 6 says: turn by 90 degrees clockwise to show it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = path.with_suffix(".jpg")
    striped().transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95, subsampling=0)
    return path


def save_cmyk(path):
    striped().convert("CMYK").save(path.with_suffix(".jpg"), quality=95)
    return path.with_suffix(".jpg")


def save_palette(path):
    striped().quantize(8).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def save_animation(path):
    others = [Image.new("RGB", (24, 16), colour) for colour in ("black", "white")]
    striped().save(path.with_suffix(".gif"), save_all=True, append_images=others)
    return path.with_suffix(".gif")


def save_wrong_name(path):
    """A PNG that calls itself .jpg: what counts is what is inside."""
    striped().save(path.with_suffix(".jpg"), format="PNG")
    return path.with_suffix(".jpg")


@pytest.mark.parametrize(
    "save", [save_plain, save_rotated, save_cmyk, save_palette, save_animation, save_wrong_name]
)
def test_any_kind_of_file_becomes_rgb(tmp_path, save):
    picture = data.open_rgb(save(tmp_path / "picture"))
    assert picture.mode == "RGB"
    assert picture.size == (24, 16)
    assert near(at(picture, 3, 8), RED)
    assert near(at(picture, 20, 8), BLUE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations(tmp_path, orientation):
    """As the standard numbers them: where the first row and the first column are."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = striped((30, 20))
    upright.paste((0, 200, 0), (0, 0, 10, 10))  # tells all eight apart
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(data.open_rgb(tmp_path / "a.png"), upright)


def test_damaged_exif_does_no_harm(tmp_path):
    striped().save(tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff", quality=95)
    assert data.open_rgb(tmp_path / "a.jpg").size == (24, 16)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_is_laid_on_white(tmp_path, mode):
    picture = Image.new("RGBA", (4, 1), (*RED, 255))
    for x, alpha in enumerate((255, 128, 0, 0)):
        picture.putpixel((x, 0), (*RED, alpha))
    picture.convert(mode).save(tmp_path / "a.png")
    result = data.open_rgb(tmp_path / "a.png")
    full = at(picture.convert("RGB" if mode == "RGBA" else "L").convert("RGB"), 0, 0)
    assert at(result, 0, 0) == full
    assert near(at(result, 1, 0), [(c * 128 + 255 * 127) / 255 for c in full], 1)
    assert at(result, 2, 0) == (255, 255, 255)


def test_a_transparent_colour_and_a_transparent_palette_entry(tmp_path):
    picture = Image.new("RGB", (2, 1), RED)
    picture.putpixel((1, 0), BLUE)
    picture.save(tmp_path / "key.png", transparency=BLUE)
    picture.quantize(4).save(
        tmp_path / "palette.png", transparency=picture.quantize(4).getpixel((1, 0))
    )
    for name in ("key", "palette"):
        result = data.open_rgb(tmp_path / f"{name}.png")
        assert near(at(result, 0, 0), RED, 1), name
        assert at(result, 1, 0) == (255, 255, 255), name


def test_greyscale_of_one_eight_sixteen_and_thirty_two_bits(tmp_path):
    levels = np.array([[0, 64, 128, 255]], dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "8.png")
    Image.fromarray(levels.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(levels.astype(np.uint16) * 257).save(tmp_path / "16.tif")
    Image.fromarray(levels.astype(np.int32) * 257).save(tmp_path / "32.tif")
    Image.fromarray(levels.astype(np.float32) / 255).save(tmp_path / "float.tif")
    for name in ("8.png", "16.png", "16.tif", "32.tif", "float.tif"):
        result = np.asarray(data.open_rgb(tmp_path / name))
        assert result.shape == (1, 4, 3), name
        assert (result == levels[..., None]).all(), name
    Image.fromarray(levels).convert("1").save(tmp_path / "1.png")
    assert set(np.asarray(data.open_rgb(tmp_path / "1.png")).ravel().tolist()) <= {0, 255}


def test_sixteen_bit_big_endian(tmp_path):
    """A TIFF of the other byte order (I;16B)."""
    levels = (np.array([[0, 64, 128, 255]], dtype=np.uint16) * 257).astype(">u2")
    tags = [(256, 3, 1, 4 << 16), (257, 3, 1, 1 << 16), (258, 3, 1, 16 << 16), (259, 3, 1, 1 << 16),
            (262, 3, 1, 1 << 16), (273, 4, 1, 8), (277, 3, 1, 1 << 16), (278, 3, 1, 1 << 16),
            (279, 4, 1, 8)]  # fmt: skip
    entries = b"".join(struct.pack(">HHLL", *tag) for tag in tags)
    body = b"MM\x00*" + struct.pack(">L", 16) + levels.tobytes()
    file = body + struct.pack(">H", len(tags)) + entries + b"\x00" * 4
    (tmp_path / "a.tif").write_bytes(file)
    result = np.asarray(data.open_rgb(tmp_path / "a.tif"))
    assert (result[0, :, 0] == [0, 64, 128, 255]).all()


def bright_corner() -> Image.Image:
    """Dark, with a bright upper left quarter: turned, or without it, it is another picture."""
    pixels = np.random.default_rng(0).integers(0, 60, (96, 96, 3))
    pixels[:48, :48] += 190
    return Image.fromarray(pixels.astype(np.uint8))


def on_its_side(path):
    """As a phone that is held upright stores it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = bright_corner().transpose(Image.Transpose.ROTATE_90)
    turned.save(path / "a.jpg", exif=exif, quality=95)
    return path / "a.jpg", bright_corner()


def see_through(path):
    """Transparent but for a quarter, and black where nobody sees it."""
    alpha = Image.new("L", (96, 96))
    alpha.paste(255, (48, 48, 96, 96))
    picture = bright_corner()
    picture.putalpha(alpha)
    picture.save(path / "a.png")
    white = Image.new("RGB", (96, 96), "white")
    white.paste(bright_corner(), mask=alpha)
    return path / "a.png", white


def grey(path):
    """Sixteen bits deep, of which the upper eight are the picture."""
    levels = np.asarray(bright_corner().convert("L"))
    Image.fromarray(levels.astype(np.uint16) * 257).save(path / "a.png")
    return path / "a.png", Image.fromarray(levels).convert("RGB")


def press(path):
    """Ink instead of light."""
    bright_corner().convert("CMYK").save(path / "a.jpg", quality=95)
    return path / "a.jpg", bright_corner()


def moving(path):
    """The second frame is the first one's negative."""
    frames = [bright_corner(), Image.eval(bright_corner(), lambda v: 255 - v)]
    frames[0].save(path / "a.gif", save_all=True, append_images=frames[1:])
    return path / "a.gif", bright_corner()


def last_frame(path, hint=None):
    with Image.open(path) as file:
        file.seek(file.n_frames - 1)
        return file.convert("RGB")


def without(picture):
    """What is left when the fourth channel is thrown away, and more than eight bits are cut off."""
    if picture.mode.startswith("I"):
        picture = Image.fromarray(np.asarray(picture).clip(0, 255).astype(np.uint8))
    return Image.merge("RGB", (picture.split() * 3)[:3])


@pytest.mark.parametrize(
    ("save", "place", "naive"),
    [
        (on_its_side, _images.ImageOps, {"exif_transpose": lambda file: file.copy()}),
        (see_through, _images, {"_to_rgb": without}),
        (grey, _images, {"_to_rgb": without}),
        (press, _images, {"_to_rgb": without}),
        (moving, _images, {"_read": last_frame}),
    ],
)
def test_a_network_sees_what_a_person_sees(tmp_path, monkeypatch, save, place, naive):
    """Odd files and their plain twins are the same input; read carelessly, they are not."""
    path, twin = save(tmp_path)
    prepare = Recipe(
        32, 32, tuple(data.IMAGENET_MEAN), tuple(data.IMAGENET_STD), ("a", "b")
    ).transform()

    def gap():
        return float((prepare(data.open_rgb(path)) - prepare(twin)).abs().mean())

    assert gap() < 0.1
    for name, function in naive.items():
        monkeypatch.setattr(place, name, function)
    assert gap() > 0.5


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "a.jpg").write_text("not a picture")
    with pytest.raises(ValueError, match=r"cannot read image .*a\.jpg: not an image"):
        data.open_rgb(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"cannot read image .*nowhere\.png: "):
        data.open_rgb(tmp_path / "nowhere.png")


# --- large pictures, and kinds that need a package ----------------------------------------------


def test_a_large_photograph_is_no_bomb(tmp_path, monkeypatch):
    """Pillow refuses twice its limit; ours is higher, and Pillow's is put back."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for suffix in (".png", ".jpg", ".gif", ".tif", ".webp"):
        path = tmp_path / f"a{suffix}"
        Image.new("RGB", (30, 20)).save(path)
        with pytest.raises(Image.DecompressionBombError):
            Image.open(path)
        assert data.open_rgb(path).size == (30, 20)
        assert _images._problem(path) is None
        assert Image.MAX_IMAGE_PIXELS == 100
    assert _images.PIXELS > 16320 * 12240
    monkeypatch.setattr(_images, "PIXELS", 500)
    with pytest.raises(
        ValueError, match=r"cannot read image .*a\.webp: more than 0 million pixels"
    ):
        data.open_rgb(path)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # somebody wants no limit at all
    assert data.open_rgb(path).size == (30, 20)


def test_reading_in_threads_puts_pillows_limit_back(folder, monkeypatch):
    """Each ends while another is at work."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    both, real = threading.Barrier(2), _images._to_rgb
    monkeypatch.setattr(_images, "_to_rgb", lambda p: (both.wait(60), real(p))[1])
    paths = [folder / "cat" / "0.png", folder / "cat" / "1.png"] * 4
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(_images._problem, paths)) == [None] * 8
    assert Image.MAX_IMAGE_PIXELS == 100


def test_large_photographs_are_decoded_one_at_a_time(folder, monkeypatch):
    """Each takes a gigabyte; as many at once as there are threads would be too much."""
    monkeypatch.setattr(_images, "MANY_PIXELS", 19 * 20)
    together, most, real = [], [], _images._to_rgb

    def slow(picture):
        together.append(1)
        most.append(len(together))
        time.sleep(0.02)
        together.pop()
        return real(picture)

    monkeypatch.setattr(_images, "_to_rgb", slow)
    assert len(data.image_folder(folder)) == 5
    assert max(most) == 1


@pytest.mark.parametrize("check", [True, False])
def test_what_is_missing_for_a_telephones_pictures_is_named(folder, monkeypatch, check):
    known = {
        k: v for k, v in Image.registered_extensions().items() if k[:4] not in (".hei", ".avi")
    }
    monkeypatch.setattr(Image, "registered_extensions", lambda: known)
    for name in ("a.HEIC", "b.heif"):
        (folder / "cat" / name).write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(64))
    (folder / "cat" / "c.avif").write_bytes(b"nothing")
    dataset = data.image_folder(folder, check=check)
    reasons = {path.name: reason for path, reason in dataset.skipped}
    assert reasons["a.HEIC"] == reasons["b.heif"] == "HEIC needs the package pillow-heif"
    assert reasons["c.avif"] == "AVIF needs Pillow 11.3 or newer"
    for k in range(3):
        (folder / "cat" / f"{k}.png").unlink()
    with pytest.raises(ValueError, match=r"a\.HEIC \(HEIC needs the package pillow-heif\)"):
        data.image_folder(folder, check=check)
    with pytest.raises(ValueError, match=r"nowhere\.heic: .*No such file"):
        data.open_rgb(folder / "nowhere.heic")


def test_where_the_package_is_installed_it_is_used(monkeypatch):
    calls = []
    package = types.SimpleNamespace(register_heif_opener=lambda: calls.append("registered"))
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    _images._register_heif()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not there
    _images._register_heif()
    assert calls == ["registered"]


# --- a folder of pictures -----------------------------------------------------------------------


def test_a_folder_of_folders(folder):
    Image.new("L", (10, 30), 7).save(folder / "dog" / "grey.jpeg")
    (folder / "cat" / "deeper").mkdir()
    Image.new("RGB", (9, 9)).save(folder / "cat" / "deeper" / "x.bmp")
    dataset = data.image_folder(folder)
    assert dataset.classes == ["cat", "dog"]
    assert len(dataset) == len(dataset.samples) == 7
    names = [path.relative_to(folder).as_posix() for path, _ in dataset.samples]
    assert names == ["cat/0.png", "cat/1.png", "cat/2.png", "cat/deeper/x.bmp", "dog/0.png",
                     "dog/1.png", "dog/grey.jpeg"]  # fmt: skip
    assert dataset.targets == [0, 0, 0, 0, 1, 1, 1]
    assert dataset.skipped == []
    picture, label = dataset[6]
    assert (picture.mode, picture.size, label) == ("RGB", (10, 30), 1)
    assert "7 images of 2 classes" in repr(dataset)


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".bmp", ".webp", ".tif"])
def test_truncated_files_are_skipped_counted_and_reported(folder, suffix, caplog):
    noise = np.random.default_rng(0).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    broken = folder / "dog" / f"broken{suffix}"
    Image.fromarray(noise).save(broken)
    assert len(data.image_folder(folder)) == 6
    truncate(broken)
    with caplog.at_level(logging.WARNING, logger="cnnlib.data"):
        dataset = data.image_folder(folder)
    assert len(dataset) == 5
    assert [path for path, _ in dataset.skipped] == [broken]
    assert dataset.skipped[0][1]
    assert "1 files skipped" in repr(dataset)
    assert "skipped 1 of 6 files" in caplog.text
    assert f"broken{suffix}" in caplog.text
    for index in range(5):
        dataset[index]


def test_other_files_are_skipped_and_hidden_ones_not_looked_at(folder, caplog):
    (folder / "cat" / "notes.txt").write_text("three cats")
    (folder / "cat" / "empty.png").write_bytes(b"")
    (folder / "cat" / ".DS_Store").write_bytes(b"\x00")
    (folder / "cat" / "Thumbs.db").write_bytes(b"\x00")
    (folder / "cat" / ".cache").mkdir()
    (folder / "cat" / ".cache" / "x.png").write_bytes(b"")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / "README.md").write_text("beside the class folders")
    dataset = data.image_folder(folder)
    assert dataset.classes == ["cat", "dog"]
    assert sorted(path.name for path, _ in dataset.skipped) == ["empty.png", "notes.txt"]
    assert "skipped 2 of 7 files" in caplog.text


def test_reading_in_threads_leaves_the_filters_of_warnings_alone(folder, monkeypatch):
    """The first thread ends while the second is at work: so filters would get lost."""
    (folder / "cat" / "2.png").unlink()
    first, second, ended = (threading.Event() for _ in range(3))
    problem, to_rgb = _images._problem, _images._to_rgb

    def in_turn(path):
        if path.stem != "0":
            assert first.wait(60)
        found = problem(path)
        if path.stem == "0":
            ended.set()
        return found

    def meeting(picture):
        mine, other = (first, second) if picture.getpixel((0, 0))[0] == 0 else (second, ended)
        mine.set()
        assert other.wait(60)
        return to_rgb(picture)

    monkeypatch.setattr(_images, "_problem", in_turn)
    monkeypatch.setattr(_images, "_to_rgb", meeting)
    before = list(warnings.filters)
    _images.ImageFolder(folder)
    assert warnings.filters == before


class Insensitive(type(Path())):
    """Compares as paths do on Windows."""

    def __lt__(self, other):
        return self.name.lower() < other.name.lower()


def test_classes_have_the_same_order_on_every_system(folder, monkeypatch):
    (folder / "dog").rename(folder / "Dog")
    monkeypatch.setattr(_images, "Path", Insensitive)
    assert data.image_folder(folder).classes == ["Dog", "cat"]


def test_a_long_report_is_cut_short(folder, caplog):
    for k in range(9):
        (folder / "cat" / f"{k}.txt").write_text("")
    data.image_folder(folder)
    assert caplog.text.count("not an image") == 5
    assert caplog.text.rstrip().endswith("...")


def test_empty_folders_are_named(tmp_path, folder):
    with pytest.raises(ValueError, match=r"image_folder: .*nowhere is not a folder"):
        data.image_folder(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(ValueError, match=r"bare has no class folders; expected .*<class>.<image>"):
        data.image_folder(tmp_path / "bare")
    (folder / "newt").mkdir()
    with pytest.raises(ValueError, match=r"class folder .*newt is empty"):
        data.image_folder(folder)
    (folder / "newt" / "a.png").write_text("")
    with pytest.raises(ValueError, match=r"newt has no image that can be read; .* a\.png \(not an"):
        data.image_folder(folder)


def test_without_the_check_names_decide_and_a_bad_file_raises_later(folder):
    (folder / "cat" / "bad.png").write_text("not a picture")
    (folder / "cat" / "notes.txt").write_text("")
    dataset = data.image_folder(folder, check=False)
    assert [path.name for path, _ in dataset.skipped] == ["notes.txt"]
    assert len(dataset) == 6
    with pytest.raises(ValueError, match=r"cannot read image .*bad\.png"):
        dataset[3]


def test_the_check_reads_jpegs_to_their_end_with_few_pixels(tmp_path, monkeypatch):
    sizes = []
    real = _images._to_rgb
    monkeypatch.setattr(_images, "_to_rgb", lambda p: sizes.append(p.size) or real(p))
    Image.new("RGB", (800, 640)).save(tmp_path / "a.jpg")
    assert _images._problem(tmp_path / "a.jpg") is None
    assert max(sizes[0]) <= 200
    assert data.open_rgb(tmp_path / "a.jpg").size == (800, 640)


def test_transform(folder):
    dataset = data.image_folder(folder, transform=lambda picture: picture.size)
    assert dataset[0] == ((20, 20), 0)


# --- split --------------------------------------------------------------------------------------


def labelled(*counts):
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.arange(len(y), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return data.ArrayDataset(x, y, [f"class{k}" for k in range(len(counts))])


def test_split_is_complete_disjoint_and_stratified():
    dataset = labelled(100, 50, 10)
    parts = data.split(dataset)
    assert [len(part) for part in parts] == [128, 16, 16]
    indices = [i for part in parts for i in part.indices]
    assert sorted(indices) == list(range(160))
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        assert np.bincount(part.targets).tolist() == [100 * share, 50 * share, 10 * share]
        assert part.classes == dataset.classes
        assert [part[k][1] for k in range(len(part))] == part.targets
        assert part.indices == sorted(part.indices)


def test_split_is_the_same_for_a_seed_and_another_for_another():
    dataset = labelled(30, 20)
    first, again, other = (data.split(dataset, (0.5, 0.5), seed)[0].indices for seed in (0, 0, 1))
    assert first == again != other
    assert first != list(range(15)) + list(range(30, 40))
    # Written down once: the same on every machine and with every version of NumPy.
    assert data.split(labelled(8), (0.5, 0.5), 7)[0].indices == [0, 3, 6, 7]


def test_split_may_leave_some_out():
    parts = data.split(labelled(100), (0.2, 0.1))
    assert [len(part) for part in parts] == [20, 10]
    assert not set(parts[0].indices) & set(parts[1].indices)


def test_each_part_has_its_own_transform(folder):
    dataset = data.image_folder(folder)
    train, val = data.split(dataset, (0.5, 0.5), transforms=(lambda p: "train", lambda p: "val"))
    assert train[0] == ("train", 0)
    assert val[-1] == ("val", 1)
    plain, _ = data.split(dataset, (0.5, 0.5))
    assert plain[0][0].mode == "RGB"
    images, _ = next(iter(data.loader(train, 2)))  # Subset's own short cut would miss the transform
    assert list(images) == ["train", "train"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fractions": (0.8, 0.3)}, "fractions must be positive and add up to 1"),
        ({"fractions": (1.0, 0.0)}, "fractions must be positive and add up to 1"),
        ({"fractions": ()}, "fractions must be positive"),
        ({"transforms": (None, None)}, "3 fractions need as many transforms, got 2"),
        ({}, "class 'class1' has 2 images, too few for a share of each in 3 parts"),
    ],
)
def test_split_complains(arguments, message):
    with pytest.raises(ValueError, match=f"split: {message}"):
        data.split(labelled(100, 2), **arguments)


@pytest.mark.parametrize(
    ("fractions", "expected"),
    [
        ((0.8, 0.1, 0.1), {3: (1, 1, 1), 4: (2, 1, 1), 5: (3, 1, 1), 6: (4, 1, 1), 7: (5, 1, 1),
                           8: (6, 1, 1), 9: (7, 1, 1)}),
        ((0.8, 0.2), {2: (1, 1), 3: (2, 1), 4: (3, 1), 5: (4, 1), 6: (5, 1), 7: (6, 1), 8: (6, 2),
                      9: (7, 2)}),
        ((0.1, 0.1, 0.8), {3: (1, 1, 1), 4: (1, 1, 2), 9: (1, 1, 7)}),
        ((0.2, 0.1), {2: (1, 1), 3: (1, 1), 5: (1, 1), 9: (2, 1)}),
    ],
)  # fmt: skip
def test_of_a_small_class_each_part_has_one(fractions, expected):
    for count, sizes in expected.items():
        parts = data.split(labelled(count), fractions)
        assert tuple(len(part) for part in parts) == sizes, count
        indices = [i for part in parts for i in part.indices]
        assert len(set(indices)) == len(indices)


def test_what_could_be_split_before_is_split_as_before():
    """The formula that once was all: where it gave each part something, it still holds."""
    compared = 0
    for fractions in ((0.8, 0.1, 0.1), (0.8, 0.2), (0.5, 0.3), (1.0,), (0.1, 0.6, 0.2, 0.1)):
        for count in range(1, 120):
            ends = np.rint(np.cumsum(fractions) * count).astype(int)
            sizes = np.diff(ends, prepend=0).tolist()
            if min(sizes) > 0:
                parts = data.split(labelled(count), fractions)
                assert [len(part) for part in parts] == sizes, (fractions, count)
                compared += 1
    assert compared > 500


def test_split_complains_of_a_label_without_a_class():
    dataset = labelled(10, 10)
    dataset.targets[3] = 7
    with pytest.raises(ValueError, match="split: label 7 names none of the 2 classes"):
        data.split(dataset, (0.5, 0.5))


# --- data sets in memory ------------------------------------------------------------------------


BYTES = np.zeros((2, 3, 4, 4), np.uint8)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (BYTES / np.float32(255), [0, 1], TypeError, "x must be a NumPy array of uint8, got float"),
        (BYTES.tolist(), [0, 1], TypeError, "x must be a NumPy array of uint8, got list"),
        (BYTES[:, 0], [0, 1], ValueError, r"x must have the shape .N, C, H, W., got .2, 4, 4."),
        (BYTES, [0, 1, 1], ValueError, r"2 images need as many labels, got .3,."),
        (BYTES, [[0], [1]], ValueError, r"2 images need as many labels, got .2, 1."),
        (BYTES, [0.0, 1.0], TypeError, "labels must be integers, got float64"),
        (BYTES, [0, 7], ValueError, "label 7 names none of the 2 classes"),
        (BYTES, [-1, 0], ValueError, "label -1 names none of the 2 classes"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(x, y, error, message):
    """Else floats would be divided by 255 again, and images without a class would get lost."""
    with pytest.raises(error, match=f"ArrayDataset: {message}"):
        data.ArrayDataset(x, y, ["a", "b"])
    assert data.ArrayDataset(BYTES, [0, 1], ["a", "b"])[1][1] == 1


def test_road_signs_as_a_torch_data_set():
    dataset = data.road_signs_dataset(28, 5, "test", size=24, night=True)
    signs = datasets.road_signs(28, 5, split="test", size=24, night=True)
    assert dataset.classes == list(datasets.ROAD_SIGNS)
    assert dataset.targets == signs.y.tolist()
    assert dataset.night.all()
    image, label = dataset[3]
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image, signs.x[3], atol=1e-6)
    assert label == signs.y[3]
    shape = data.road_signs_dataset(2, 0, transform=lambda image: (image.dtype, image.shape))[0][0]
    assert shape == (torch.uint8, (3, 32, 32))


def test_digits_as_a_torch_data_set():
    scans = datasets.digits()
    for split, x, y in (
        ("train", scans.x_train, scans.y_train),
        ("test", scans.x_test, scans.y_test),
    ):
        dataset = data.digits_dataset(split)
        assert dataset.classes == list("0123456789")
        assert dataset.targets == y.tolist()
        np.testing.assert_allclose(dataset[5][0], x[5], atol=0.5 / 255 + 1e-6)
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'val'"):
        data.digits_dataset("val")


# --- transforms ---------------------------------------------------------------------------------


def test_eval_transform_is_scaled_cut_from_the_middle_and_normalised():
    picture = Image.new("RGB", (300, 200), (255, 128, 0))
    picture.paste((0, 0, 0), (0, 0, 30, 200))  # falls off with the left edge
    tensor = data.eval_transform(64)(picture)
    assert tensor.shape == (3, 64, 64)
    assert tensor.dtype == torch.float32
    expected = (np.array([1, 128 / 255, 0]) - data.IMAGENET_MEAN) / data.IMAGENET_STD
    np.testing.assert_allclose(tensor.mean(dim=(1, 2)), expected, atol=1e-5)
    plain = data.eval_transform(2, mean=(0, 0, 0), std=(1, 1, 1))
    bytes_ = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2) * 20
    torch.testing.assert_close(plain(bytes_), bytes_ / 255)


@pytest.mark.parametrize(
    ("size", "resize", "side"), [(224, None, 256), (32, None, 32), (48, 60, 60)]
)
def test_eval_transform_resizes_the_shorter_side(size, resize, side):
    steps = data.eval_transform(size, resize=resize).transforms
    assert next(s for s in steps if isinstance(s, v2.Resize)).size == [side]


PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}


def without_cropping(transform):
    return v2.Compose([s for s in transform.transforms if not isinstance(s, CropEnds)])


@pytest.mark.parametrize("shape", [(2, 40_000), (40_000, 2), (3, 20_001), (1, 30)])
def test_a_strip_is_cropped_before_it_is_resized(monkeypatch, shape):
    """Else the longer side would have millions of pixels, gigabytes of memory."""
    resized = []
    real = v2.Resize.transform
    monkeypatch.setattr(v2.Resize, "transform", lambda *a: resized.append(a[1].shape) or real(*a))
    picture = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    assert data.eval_transform(224)(picture).shape == (3, 224, 224)
    assert min(resized[0][1:]) == min(shape)
    assert max(resized[0][1:]) < 9 * min(shape)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("size", "resize"), [(32, None), (24, 32), (40, 16), (2, 2), (2, 3), (33, 40), (32, 41)]
)
def test_cropping_first_changes_nothing(size, resize, interpolation):
    """Pictures up to 1:8 to the letter; strips whose length scales to whole pixels nearly so."""
    transform = data.eval_transform(size, resize=resize, interpolation=interpolation, **PLAIN)
    for shape in ((30, 40), (81, 20), (7, 42), (4, 4 * 25), (64, 64 * 20), (9 * 31, 9), (1, 50)):
        picture = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
        expected = without_cropping(transform)(picture)
        ordinary = max(shape) <= 8 * min(shape)
        level = 0 if ordinary else 1.1 / 255
        torch.testing.assert_close(transform(picture), expected, atol=level, rtol=0)


def test_cropping_first_moves_nothing():
    """Where the length is rounded, the middle still is the middle."""
    transform = data.eval_transform(32, resize=40, **PLAIN)
    for shape in ((37, 1000), (1001, 38), (53, 997)):
        smooth = [torch.linspace(0, 6 * n / min(shape), n).sin() for n in shape]
        picture = (127 + 60 * smooth[0][:, None] + 60 * smooth[1]).to(torch.uint8).expand(3, -1, -1)
        torch.testing.assert_close(
            transform(picture), without_cropping(transform)(picture), atol=0.01, rtol=0
        )


def seeded(transform, picture, seed=0):
    torch.manual_seed(seed)
    return transform(picture)


def test_train_transform_augments():
    picture = striped((64, 64))
    plain = {"mean": (0, 0, 0), "std": (1, 1, 1)}
    still = data.train_transform(32, scale=(1, 1), flip=False, **plain)
    a, b = still(picture), still(picture)
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(a, data.eval_transform(32, **plain)(picture))
    for option in ({"scale": (0.3, 1), "flip": False}, {"scale": (1, 1), "flip": True},
                   {"scale": (1, 1), "flip": False, "rotation": 20},
                   {"scale": (1, 1), "flip": False, "colour": 0.4}):  # fmt: skip
        transform = data.train_transform(32, **option, **plain)
        results = [seeded(transform, picture, seed) for seed in range(8)]
        assert all(r.shape == (3, 32, 32) for r in results), option
        assert any(not torch.allclose(r, a, atol=0.02) for r in results), option
        torch.testing.assert_close(results[3], seeded(transform, picture, 3))
    flipped = [
        seeded(data.train_transform(32, scale=(1, 1), **plain), picture, s) for s in range(40)
    ]
    share = sum(bool(f[2, 16, 4] > f[0, 16, 4]) for f in flipped) / 40  # blue on the left
    assert 0.2 < share < 0.8


# --- loaders ------------------------------------------------------------------------------------


class Noisy:
    """Each sample is its index and a random number, as an augmentation would draw it."""

    def __init__(self, length=20):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return index, torch.rand(())


def epochs(loader, count):
    return [[(i.tolist(), r.tolist()) for i, r in loader] for _ in range(count)]


def test_every_epoch_has_another_order_and_every_sample_once():
    first, second = epochs(data.loader(Noisy(), 6, shuffle=True), 2)
    assert [len(i) for i, _ in first] == [6, 6, 6, 2]
    orders = [[k for i, _ in epoch for k in i] for epoch in (first, second)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(20))
    assert orders[0] != orders[1]
    assert orders[0] != list(range(20))
    drawn = [dict(zip(*map(sum, zip(*epoch, strict=True), ([], [])), strict=True))
             for epoch in (first, second)]  # fmt: skip
    assert len(set(drawn[0].values())) == 20  # each sample its own random number
    assert not set(drawn[0].values()) & set(drawn[1].values())  # and another one in each epoch
    assert len(list(data.loader(Noisy(), 6, drop_last=True))) == 3


def test_an_epoch_depends_on_seed_and_number_alone():
    all_epochs = epochs(data.loader(Noisy(), 6, shuffle=True, seed=3), 4)
    torch.manual_seed(99)
    resumed = data.loader(Noisy(), 6, shuffle=True, seed=3)
    resumed.set_epoch(2)
    torch.rand(7)
    assert epochs(resumed, 2) == all_epochs[2:]
    assert epochs(data.loader(Noisy(), 6, shuffle=True, seed=4), 1) != all_epochs[:1]


def test_asking_for_the_length_or_breaking_off_changes_nothing():
    expected = epochs(data.loader(Noisy(), 6, shuffle=True), 3)
    loader = data.loader(Noisy(), 6, shuffle=True)
    assert len(loader) == 4
    assert len(list(loader.batch_sampler)) == 4  # as a sampler around it may do
    next(iter(loader))
    assert epochs(loader, 2) == expected[1:]


def test_in_order_all_epochs_are_the_same():
    first, second = epochs(data.loader(Noisy(), 6), 2)
    assert first == second
    assert [k for i, _ in first for k in i] == list(range(20))


def test_the_callers_random_numbers_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(data.loader(Noisy(), 6, shuffle=True))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
def test_workers_give_the_same_batches():
    expected = epochs(data.loader(Noisy(), 6, shuffle=True, seed=1), 2)
    loader = data.loader(Noisy(), 6, shuffle=True, seed=1, workers=2)
    assert epochs(loader, 2) == expected
    del loader
    resumed = data.loader(Noisy(), 6, shuffle=True, seed=1, workers=1)
    resumed.set_epoch(1)
    assert epochs(resumed, 1) == expected[1:]


class Random:
    """What a transform draws that does not use torch's generator."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return random.random(), np.random.random()  # noqa: NPY002


@pytest.mark.slow
def test_workers_are_seeded_apart():
    """Or two workers would augment alike: NumPy's old trap."""
    loader = data.loader(Random(), 2, workers=2, persistent_workers=False)
    numbers = [float(v) for pair in loader for column in pair for v in column]
    assert len(set(numbers)) == 16
    again = [float(v) for pair in loader for column in pair for v in column]
    assert again == numbers


def test_a_data_set_keeps_its_attributes_inside_a_loader():
    loader = data.loader(data.road_signs_dataset(14, 0), 7)
    assert loader.dataset.classes == list(datasets.ROAD_SIGNS)
    assert len(loader.dataset) == 14
    assert not hasattr(loader.dataset, "nothing_of_that_name")
    assert loader.batch_size == 7
    images, labels = next(iter(loader))
    assert images.shape == (7, 3, 32, 32)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        (Noisy(0), {}, "the data set is empty"),
        (Noisy(), {"batch_size": 0}, "batch_size must be an int of at least 1, got 0"),
        (Noisy(), {"batch_size": 2.0}, "batch_size must be an int of at least 1, got 2.0"),
        (Noisy(), {"workers": -1}, "workers must be an int of at least 0, got -1"),
    ],
)
def test_loader_complains(dataset, options, message):
    with pytest.raises(ValueError, match=f"loader: {message}"):
        data.loader(dataset, **{"batch_size": 4, **options})


# --- torchvision's data sets --------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch):
    """Every attempt to reach another host fails at once, as with the cable pulled."""

    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(
    ("name", "fallback"),
    [
        ("mnist", "data.digits_dataset"),
        ("fashion_mnist", "data.digits_dataset"),
        ("cifar10", "data.road_signs_dataset"),
        ("gtsrb", "data.road_signs_dataset"),
        ("oxford_pets", "data.image_folder"),
    ],
)
@pytest.mark.parametrize("train", [True, False])
def test_without_a_network_the_way_out_is_named(
    tmp_path, monkeypatch, no_network, name, fallback, train
):
    monkeypatch.setenv("CNNLIB_CACHE", str(tmp_path))
    with pytest.raises(ConnectionError, match=f"{name} is not in .* use {fallback}") as caught:
        data.torchvision_dataset(name, train=train)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / name).iterdir()) == []  # nothing half-downloaded is left
    assert socket.getdefaulttimeout() is None


def mnist_files(root, labels):
    """Files of MNIST's own format where torchvision expects them."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    n = len(labels)
    for part in ("train", "t10k"):
        images = struct.pack(">4i", 2051, n, 28, 28) + bytes(n * 784)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, n) + bytes(labels))


def test_what_is_in_the_cache_needs_no_network(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("CNNLIB_CACHE", str(tmp_path))
    assert data.cache_folder() == tmp_path
    mnist_files(tmp_path / "mnist", [7, 1, 2])
    dataset = data.torchvision_dataset("mnist", transform=lambda picture: picture.size)
    assert len(dataset) == 3
    assert dataset[0] == ((28, 28), 7)
    assert dataset.classes[7].startswith("7")
    elsewhere = tmp_path / "elsewhere"
    mnist_files(elsewhere, [5])
    assert data.torchvision_dataset("mnist", elsewhere, train=False)[0][1] == 5


def test_a_download_arrives_whole(tmp_path, monkeypatch):
    """It is made beside its place and moved in; what breaks off leaves nothing behind."""
    calls = []

    def make(root, *, download, train, transform):
        if not download:
            if not (root / "MNIST" / "raw").is_dir():
                raise RuntimeError("Dataset not found")
            return calls.append("read") or "the data set"
        assert root.parent == tmp_path
        assert root.name.startswith(".partial-")
        assert socket.getdefaulttimeout() == _downloads.TIMEOUT
        mnist_files(root, [1])
        calls.append("download")
        if calls.count("download") == 1:
            raise OSError("connection reset")
        return None

    monkeypatch.setitem(
        _downloads.SOURCES, "mnist", _downloads.SOURCES["mnist"]._replace(make=make)
    )
    with pytest.raises(ConnectionError, match="connection reset"):
        data.torchvision_dataset("mnist", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert data.torchvision_dataset("mnist", tmp_path) == "the data set"
    assert [p.name for p in tmp_path.iterdir()] == ["MNIST"]
    data.torchvision_dataset("mnist", tmp_path)
    assert calls.count("download") == 2


def pretend(monkeypatch, make):
    """Let a function stand in for torchvision's class of MNIST."""
    source = _downloads.SOURCES["mnist"]._replace(make=make)
    monkeypatch.setitem(_downloads.SOURCES, "mnist", source)
    monkeypatch.setattr(_downloads, "PAUSE", 0.01)


def test_of_two_that_ask_at_once_one_downloads(tmp_path, monkeypatch, caplog):
    """As when torchrun starts several processes: the others wait and use what it brought."""
    calls, waiting = [], threading.Event()

    def make(root, *, download, train, transform):
        if download:
            calls.append("download")
            assert waiting.wait(60)
            mnist_files(root, [1])
        elif not (root / "MNIST").is_dir():
            raise RuntimeError("Dataset not found")
        return "the data set"

    pretend(monkeypatch, make)
    monkeypatch.setattr(_downloads.logger, "warning", lambda *_: waiting.set())
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(data.torchvision_dataset, "mnist", tmp_path) for _ in range(2)]
        assert [b.result(60) for b in both] == ["the data set"] * 2
    assert calls == ["download"]
    assert [p.name for p in tmp_path.iterdir()] == ["MNIST"]


def test_a_lock_that_was_left_behind_is_named(tmp_path, monkeypatch, caplog):
    """By a process that was killed: at once in a warning, later in an error."""

    def make(root, *, download, train, transform):
        raise RuntimeError("Dataset not found")

    pretend(monkeypatch, make)
    monkeypatch.setattr(_downloads, "PATIENCE", 0.05)
    lock = tmp_path / _downloads.LOCK
    lock.touch()
    with pytest.raises(ConnectionError) as caught:
        data.torchvision_dataset("mnist", tmp_path)
    for text in (caplog.text, str(caught.value)):
        assert f"if no other process downloads to {tmp_path}, remove {lock}" in text
    assert lock.exists()


def pets(root, *, download, train, transform):
    """A set that torchvision takes for complete when two folders are there."""
    if download:
        for name in ("annotations", "images"):
            (root / "pets" / name).mkdir(parents=True)
            for k in range(3):
                (root / "pets" / name / f"{k}.txt").write_text("new")
        (root / "pets" / "readme").write_text("new")
    elif not all((root / "pets" / name).is_dir() for name in ("annotations", "images")):
        raise RuntimeError("Dataset not found")
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*.txt"))


@pytest.mark.parametrize("there", ["nothing", "pets", "pets/images", "pets/annotations"])
def test_a_kill_while_a_download_is_moved_in_leaves_no_half_set(tmp_path, monkeypatch, there):
    """Wherever it strikes, and whatever was there: all is found missing, or all is there."""
    pretend(monkeypatch, pets)
    real, steps = Path.replace, [0]

    class Killed(BaseException):
        pass

    def replace(self, target):
        if steps[0] == 0:
            raise Killed
        steps[0] -= 1
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(shutil, "copytree", lambda *_, **__: pytest.fail("a copy takes its time"))
    whole = [f"pets/{name}/{k}.txt" for name in ("annotations", "images") for k in range(3)]
    kills = 0
    for allowed in range(9):
        root = tmp_path / str(allowed)
        (root if there == "nothing" else root / there).mkdir(parents=True)
        steps[0] = allowed
        try:
            assert data.torchvision_dataset("mnist", root) == whole
        except Killed:
            kills += 1
            if (root / "pets" / "annotations").is_dir() and (root / "pets" / "images").is_dir():
                assert data.torchvision_dataset("mnist", root) == whole
        steps[0] = 99
        assert data.torchvision_dataset("mnist", root) == whole
        assert [p.name for p in root.iterdir()] == ["pets"]
    assert kills >= 1


def test_what_another_process_reads_stays_as_it_is(tmp_path):
    """A file is replaced, never written over; what only the old folder has stays."""
    for name, text in (("old", "before"), ("new", "after")):
        (tmp_path / name / "raw").mkdir(parents=True)
        (tmp_path / name / "raw" / "images").write_text(text)
    (tmp_path / "old" / "raw" / "mine").write_text("kept")
    with (tmp_path / "old" / "raw" / "images").open() as reader:
        if sys.platform != "win32":  # which lets nobody replace an open file
            _downloads._merge(tmp_path / "new", tmp_path / "old")
            assert (tmp_path / "old" / "raw" / "images").read_text() == "after"
        assert reader.read() == "before"
    assert (tmp_path / "old" / "raw" / "mine").read_text() == "kept"


def test_german_signs_get_names_and_targets(tmp_path, no_network):
    folder = tmp_path / "gtsrb" / "GTSRB" / "Training"
    for label in (0, 14):
        (folder / f"{label:05d}").mkdir(parents=True)
        striped().save(folder / f"{label:05d}" / "a.ppm")
    for label in set(range(43)) - {0, 14}:
        (folder / f"{label:05d}").mkdir()
        striped().save(folder / f"{label:05d}" / "a.ppm")
    dataset = data.torchvision_dataset("gtsrb", tmp_path)
    assert dataset.targets == list(range(43))
    assert len(dataset.classes) == 43
    assert dataset.classes[14] == "stop"
    assert dataset.classes[17] == "no entry"


def test_unknown_name():
    with pytest.raises(ValueError, match="'imagenet' is not one of mnist, fashion_mnist, cifar10"):
        data.torchvision_dataset("imagenet")
