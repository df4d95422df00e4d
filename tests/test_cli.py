"""The command line: folders of ordinary photographs, exit codes, one-line errors."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import yaml
from PIL import Image

from cnnlib import datasets
from cnnlib._cli import app, looking, main, training, using
from cnnlib._cli.sources import Pictures, Source
from cnnlib.pytorch import (
    _downloads,
    _images,
    checkpoint,
    data,
    finetune,
    models,
    pretrained,
    runs,
)
from cnnlib.pytorch.evaluate import Evaluation
from cnnlib.pytorch.history import History

ROOT = Path(__file__).resolve().parent.parent
TINY = ["--epochs", "1", "--batch-size", "8", "--device", "cpu", "--quiet"]


def run(*words: Any) -> int:
    """The exit code of a command, in this process."""
    return main([str(word) for word in words])


def python(*words: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, **options)


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed about an error: exactly one line, on stderr."""
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert captured.err.startswith("cnnlib: ")
    return captured.err.removeprefix("cnnlib: ").strip()


def strict(text: str) -> Any:
    """What JSON says, read as other programs read it: NaN and Infinity are no JSON."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def picture(hue: int, seed: int, height: int, width: int) -> Image.Image:
    """A noisy picture, reddish (0) or bluish (2), with a bright upper left corner."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 120, (height, width, 3))
    pixels[..., hue] += 130
    pixels[: height // 3, : width // 3] = 255
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of ordinary files: every size, format and colour mode; some are broken."""
    root = tmp_path_factory.mktemp("photographs")
    for hue, name in ((0, "red"), (2, "blue")):
        folder = root / name
        (folder / "more").mkdir(parents=True)
        picture(hue, 1, 400, 300).save(folder / "plain.jpg")
        turned = Image.Exif()
        turned[0x0112] = 6  # held upright: rotate by 90 degrees to see it so
        picture(hue, 1, 400, 300).rotate(90, expand=True).save(folder / "turned.jpg", exif=turned)
        veil = picture(hue, 2, 61, 333).convert("RGBA")
        veil.putalpha(200)
        veil.save(folder / "alpha.png")
        picture(hue, 3, 150, 90).convert("CMYK").save(folder / "press.jpg")
        picture(hue, 4, 50, 50).convert("P").save(folder / "more" / "palette.png")
        frames = [picture(hue, 5, 40, 60), picture(2 - hue, 5, 40, 60)]
        frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
        picture(hue, 6, 5, 3).save(folder / "tiny.bmp")
        picture(hue, 7, 30, 700).save(folder / "wide.webp")
        for k in range(6):
            picture(hue, 10 + k, 64 + k, 48).save(folder / f"{k}.jpeg")
        whole = (folder / "plain.jpg").read_bytes()
        (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    picture(0, 8, 80, 80).convert("L").save(root / "red" / "grey.png")
    picture(2, 8, 80, 80).convert("1").save(root / "blue" / "bits.png")
    (root / "red" / "notes.txt").write_text("not a picture")
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small VGG's weights: untrained, so that only the machinery is tested."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    model = models.build("small_vgg", classes=10)
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(16, 3, 32, 32))
    checkpoint.save_weights(model, folder / "small_vgg_cifar10.safetensors")
    return folder


@pytest.fixture(autouse=True)
def _places(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "PLACES", (weights,))


@pytest.fixture(scope="module")
def tuned(photographs: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one fine-tuning, moved to another place after it ended."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "PLACES", (weights,))
        words = ["--data", photographs, "--out", folder, "--epochs", 6, "--lr", 0.01]
        assert run("finetune", *words, "--batch-size", 8, "--device", "cpu", "--no-augment") == 0
    return folder.rename(folder.parent / "moved")


# --- Light, and clear when it is used wrongly


def test_help_needs_no_torch() -> None:
    """Asking for help, or importing the entry point, does not load torch."""
    code = (
        "import sys, cnnlib.__main__; a = 'typer' in sys.modules;"
        "from cnnlib._cli import main; c = main(['finetune', '--help']);"
        "print(a, c, sorted({'torch', 'torchvision', 'PIL', 'matplotlib'} & set(sys.modules)))"
    )
    result = python("-c", code)
    assert result.stdout.splitlines()[-1] == "False 0 []", result.stdout + result.stderr
    assert "--method" in result.stdout


@pytest.mark.parametrize(
    "command", ["train", "finetune", "evaluate", "predict", "summary", "bench", "version"]
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    assert f"Usage: python -m cnnlib {command}" in text
    # each option is explained
    options = [line for line in text.splitlines() if line.startswith("  --")]
    assert all(len(line.split()) > 2 or line.rstrip().endswith(">") for line in options), options


def test_help_says_what_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert models.names() == app.NETWORKS
    for command, parts in {
        "train": [", ".join(models.names()), "random: the split, road-signs, new weights", "val/"],
        "finetune": ["random: the split, road-signs, new weights"],
        "bench": ["fp32, or mixed precision with bf16 or fp16"],
    }.items():
        assert run(command, "--help") == 0
        text = " ".join(capsys.readouterr().out.split()).replace("road- signs", "road-signs")
        for part in parts:
            assert part in text, part


def written_commands() -> list[str]:
    """Every command of this package in the book's and the README's blocks and lines of code."""
    found = []
    for path in [*sorted((ROOT / "manuscript").glob("**/*.md")), ROOT / "README.md"]:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        cell = re.compile(r"^```\{.*?^```", re.DOTALL | re.MULTILINE)  # Python: has other tests
        block = re.compile(r"^```.*?\n(.*?)^```", re.DOTALL | re.MULTILINE)
        text = cell.sub("", text)
        lines = [line for part in block.findall(text) for line in part.splitlines()]
        lines += [" ".join(part.split()) for part in re.findall(r"`([^`]+)`", block.sub("", text))]
        verbs = "train|finetune|predict|summary|bench|evaluate"
        found += re.findall(rf"-m cnnlib ((?:{verbs})\b.*)", "\n".join(lines))
    return list(dict.fromkeys(found))


def test_there_are_commands_in_the_text() -> None:
    assert {line.split()[0] for line in written_commands()} >= {"train", "finetune", "predict"}
    assert len(written_commands()) > 6


@pytest.mark.parametrize("line", written_commands())
def test_commands_in_the_text_are_written_rightly(
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Nothing is trained: names and values of the options are looked at."""
    words = [word for word in shlex.split(line) if word != "..."]
    done = []
    works: list[tuple[Any, str]] = [(training, "train"), (training, "finetune_")]
    works += [(using, "evaluate"), (using, "predict"), (looking, "summary"), (looking, "bench")]
    for module, name in works:
        monkeypatch.setattr(module, name, lambda *given: done.append(given))
    monkeypatch.chdir(tmp_path)
    if "--resume" in words:
        folder = Path(words[words.index("--resume") + 1])
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"data": "digits"}')
    assert run(*words) == 0, capsys.readouterr().err
    assert len(done) == 1
    if words[0] == "train":
        assert done[0][0]["model"] in models.names()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["nope"], 2, "error: No such command 'nope'"),
        (["train"], 2, "error: Missing option '--data' (see python -m cnnlib train --help)"),
        (["train", "--data", "x", "--epoch", "3"], 2, "No such option"),
        (["train", "--data", "x", "--epochs", "many"], 2, "'--epochs'"),
        (["finetune", "--data", "x", "--method", "all"], 2, "'--method'"),
        (["train", "--data", "no/such"], 1, "there is no folder no/such; data sets by name: road"),
        (["train", "--data", "digits", "--epochs", "0"], 1, "epochs must be at least 1"),
        (["train", "--data", "digits", "--model", "lenet6"], 1, "did you mean lenet5"),
        (["train", "--data", "digits", "--crop", "2"], 2, "--crop must be more than 0"),
        (["summary", "vgg61"], 1, "there is no network 'vgg61': did you mean"),
        (["predict", "no.jpg", "--model", "small_vgg"], 1, "there is no file no.jpg"),
        (["predict", "x", "--model", "runs/none"], 1, "there is no folder runs/none"),
        (["evaluate", "--model", "small_vgg"], 1, "say which pictures"),
        (["train", "--data", "digits", "--resume", "no/run"], 2, "no config.json"),
        (["train", "--data", "digits", "--config", "no.json"], 2, "cannot read no.json"),
        (["train", "--data", "digits", "--device", "gpu"], 2, "--device must be one that is here"),
        (["train", "--data", "digits", "--device", "cuda:77"], 2, "(cpu"),
        (["finetune", "--data", "digits", "--device", "meta"], 2, "got 'meta'"),
        (["predict", "x", "--device", "gpu"], 2, "--device must be one that is here"),
        (["bench", "small_cnn", "--device", "gpu"], 2, "--device must be one that is here"),
        (["finetune", "--data", "digits", "--last", "2"], 2, "--last goes with --method partial"),
        (
            ["finetune", "--data", "digits", "--method", "partial", "--last", "99"],
            2,
            "--last must be from 0 to",
        ),
        (["finetune", "--data", "digits", "--decay", "2"], 2, "--decay must be more than 0 and at"),
        (["finetune", "--data", "digits", "--dropout", "1"], 2, "--dropout must be at least 0"),
        (
            ["train", "--data", "digits", "--patience", "2", "--val-share", "0"],
            1,
            "--patience needs pictures to validate on, of digits there are none: --val-share must",
        ),
        (
            ["train", "--data", "digits", "--schedule", "plateau", "--val-share", "0"],
            1,
            "--schedule plateau needs pictures to validate on",
        ),
        (
            ["train", "--data", "road-signs", "--images", "28", "--val-share", "0.3"],
            1,
            "road-signs has a validation part of its own: leave --val-share out, got 0.3",
        ),
        (["train", "--data", "cifar10"], 1, "(no route). Without a network use --data road-signs"),
        (["train", "--data", "mnist"], 1, "(no route). Without a network use --data digits"),
        (["train", "--data", "oxford-pets"], 1, "Without a network use --data road-signs"),
        (["predict", "x", "--model", "vgg16"], 1, "or use --model small_vgg, which needs no"),
        (["evaluate", "--model", "vgg16", "--data", "x"], 1, "or use --model small_vgg, which"),
        (["finetune", "--data", "digits", "--base", "vgg16"], 1, "or use --base small_vgg, which"),
    ],
)
def test_errors_are_one_line(
    words: list[str],
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Without a network, too: what the message offers instead can be typed."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(_downloads, "_download", fail)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    for name in ("CNNLIB_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("empty")))
    monkeypatch.chdir(tmp_path)
    assert run(*words) == code
    assert text in error_line(capsys)
    assert list(tmp_path.iterdir()) == []  # nothing begun


def test_no_words_at_all_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("Usage: python -m cnnlib [OPTIONS] COMMAND")
    assert captured.out.count("\n") > 10
    assert captured.err == ""


def test_each_process_of_torchrun_says_what_is_wrong_with_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run("predict", "no.jpg", "--model", "small_vgg") == 1
    assert error_line(capsys) == "process 1: error: predict: there is no file no.jpg"

    def press(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "find", press)
    assert run("predict", "no.jpg") == 130
    assert capsys.readouterr().err == ""  # that is for the first one to say


def test_debug_shows_the_trace() -> None:
    with pytest.raises(ValueError, match="there is no folder"):
        run("train", "--debug", "--data", "no/such")
    with pytest.raises(ValueError, match="there is no network"):
        run("--debug", "summary", "vgg61")


def test_surprises_are_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours: its type is named, and how to see more."""

    def fail(*_: Any) -> None:
        raise KeyError("two\nlines")

    monkeypatch.setattr(runs, "find", fail)
    assert run("predict", __file__) == 1
    assert error_line(capsys) == "error: KeyError: 'two\\nlines' (try --debug)"


# --- A folder of ordinary photographs


def test_finetune_on_ordinary_photographs(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sizes, formats, colours as they come; broken files are skipped, counted and named."""
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("logging.Logger.warning", lambda _, m, *a: lines.append(m % a))
        assert run("finetune", "--data", photographs, "--out", out, *TINY) == 0
    text = capsys.readouterr().out
    assert f"{photographs}: 2 classes, 24 train, 6 val, 3 files skipped" in text
    assert "skipped 3 of 33 files" in lines[0]
    for name in ("truncated.jpg", "notes.txt"):
        assert name in lines[0]
    files = "best.safetensors config.json history.csv last.pt model.json model.safetensors"
    assert sorted(p.name for p in out.iterdir()) == [*files.split(), "report.json"]
    assert json.loads((out / "report.json").read_text())["val"]["examples"] == 6
    assert json.loads((out / "model.json").read_text())["recipe"]["classes"] == ["blue", "red"]


def test_what_was_tuned_is_measured_and_used(
    tuned: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the run's folder alone: weights, classes, normalisation; JSON holds what is printed."""
    shutil.copytree(photographs / "red", tuned.parent / "red", dirs_exist_ok=True)
    assert run("predict", tuned.parent / "red", "--model", tuned, "--json", "--top", 5) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert captured.err.count("skipped") == len(answer["skipped"]) == 2
    assert len(answer["images"]) == 15
    best = {Path(i["path"]).name: i["predictions"][0] for i in answer["images"]}
    assert {name for name, b in best.items() if b["class"] != "red"} <= {"grey.png"}
    for image in answer["images"]:
        chances = [p["probability"] for p in image["predictions"]]
        assert len(chances) == 2  # no more than there are classes
        assert sum(chances) == pytest.approx(1)
        assert chances == sorted(chances, reverse=True)
        assert {p["class"]: p["index"] for p in image["predictions"]} == {"blue": 0, "red": 1}
    # The camera's note that it was turned is heeded: the network sees the picture that was not
    # turned. Answers would not tell, for both are red; all odd files: test_data.py.
    prepare = runs.find(str(tuned))[1].transform()
    inputs = {}
    for name in ("plain.jpg", "turned.jpg"):
        inputs[name] = prepare(data.open_rgb(photographs / "red" / name))
    gap = (inputs["turned.jpg"] - inputs["plain.jpg"]).abs().mean()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("PIL.ImageOps.exif_transpose", lambda file: file.copy())
        unturned = prepare(data.open_rgb(photographs / "red" / "turned.jpg"))
    assert gap < 0.05
    assert (unturned - inputs["plain.jpg"]).abs().mean() > 0.3

    assert run("predict", tuned.parent / "red" / "plain.jpg", "--model", tuned, "--top", 1) == 0
    name, line = capsys.readouterr().out.splitlines()
    assert name.endswith("plain.jpg")
    assert line == f"  {best['plain.jpg']['probability']:.4f}  {best['plain.jpg']['class']}"

    assert run("evaluate", "--model", tuned, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    stored = json.loads((tuned / "report.json").read_text())["val"]
    assert report["accuracy"] == stored["accuracy"] >= 0.8
    assert report["loss"] == pytest.approx(stored["loss"], rel=1e-5)
    assert np.sum(report["confusion"]) == report["examples"] == 6
    assert run("evaluate", "--model", tuned, "--part", "all") == 0
    table = capsys.readouterr().out
    assert "on 30 examples" in table
    assert table.startswith("all: loss ")
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["class", "blue", "red"]
    assert run("evaluate", "--model", tuned, "--data", "road-signs") == 1
    assert "other classes" in error_line(capsys)


def test_predict_reads_what_it_can(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken file among good ones: the others are answered, the exit code tells."""
    picture(0, 0, 40, 40).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    assert run("predict", tmp_path / "b.png", tmp_path / "a.png", "--model", tuned) == 1
    captured = capsys.readouterr()
    assert "a.png\n  " in captured.out
    assert "skipped" in captured.err
    assert "b.png" in captured.err
    assert run("predict", tmp_path, "--model", tuned) == 0  # in a folder it may lie about
    (tmp_path / "a.png").unlink()
    assert run("predict", tmp_path, "--model", tuned) == 1
    capsys.readouterr()
    (tmp_path / "b.png").unlink()
    assert run("predict", tmp_path, "--model", tuned) == 1
    assert "there is no file in" in error_line(capsys)


def test_predict_takes_the_files_that_a_training_takes(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".ipynb_checkpoints").mkdir()
    for name in ("a.png", ".ipynb_checkpoints/a-checkpoint.png"):
        picture(0, 0, 40, 40).save(tmp_path / name)
    for name in ("Thumbs.db", "desktop.ini"):
        (tmp_path / name).write_bytes(b"of Windows")
    assert run("predict", tmp_path, "--model", tuned, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [Path(image["path"]).name for image in answer["images"]] == ["a.png"]
    assert answer["skipped"] == []


def test_names_outside_the_code_page(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows gives a pipe an old code page: other letters are written as their numbers."""
    picture(0, 0, 40, 40).save(tmp_path / "\u732b.png")
    for words in ([], ["--json"]):
        pipe = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
        monkeypatch.setattr(sys, "stdout", pipe)
        assert run("predict", tmp_path, "--model", tuned, *words) == 0
        pipe.seek(0)
        assert "\\u732b.png" in pipe.read()


def test_all_pictures_are_measured_without_a_split(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A single one of each class will do; parts of a folder or of a data set are joined."""
    for part in ("train", "test"):
        for hue, name in ((0, "red"), (2, "blue")):
            (tmp_path / part / name).mkdir(parents=True)
            picture(hue, 0, 40, 40).save(tmp_path / part / name / "a.png")
    for folder, count in ((tmp_path / "train", 2), (tmp_path, 4)):
        assert run("evaluate", "--model", tuned, "--data", folder, "--part", "all", "--json") == 0
        assert json.loads(capsys.readouterr().out)["examples"] == count
    digits = Pictures(Source("digits", 0, 0.0, 0.0, 0)).everything(lambda image: image)
    assert len(digits) == 1797


def test_other_pictures_are_all_measured(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a run's own folder the validation part, of another one everything; and it is said."""
    for hue, name in ((0, "red"), (2, "blue")):
        (tmp_path / name).mkdir()
        for k in range(10):
            picture(hue, k, 40, 40).save(tmp_path / name / f"{k}.png")
    for words, part, count in (
        (["--data", tmp_path], "all", 20),
        (["--data", tmp_path, "--part", "val"], "val", 4),
        ([], "val", 6),
    ):
        assert run("evaluate", "--model", tuned, *words, "--json") == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["part"], report["examples"]) == (part, count)
        assert run("evaluate", "--model", tuned, *words) == 0
        assert capsys.readouterr().out.startswith(f"{part}: loss ")


def test_pictures_that_changed_are_not_taken_for_the_run_s_own(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One file more, and pictures that were trained on would stand in the validation part."""
    folder, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(photographs, folder)
    assert run("finetune", "--data", folder, "--out", out, *TINY) == 0
    assert run("evaluate", "--model", out) == 0

    before = {path: path.read_bytes() for path in out.iterdir()}

    def refused(what: str) -> None:
        for words in (["evaluate", "--model", out], ["finetune", "--resume", out]):
            capsys.readouterr()
            assert run(*words) == 1
            text = capsys.readouterr().err
            assert f"error: the pictures in {folder} have changed since the training: " in text
            assert what in text
            assert (f": --data {folder}" in text) == (words[0] == "evaluate")
        assert {path: path.read_bytes() for path in out.iterdir()} == before

    (folder / "red" / "plain.jpg").rename(folder / "red" / "zzz.jpg")
    refused("train has others")
    (folder / "red" / "zzz.jpg").rename(folder / "red" / "plain.jpg")
    picture(0, 0, 40, 40).save(folder / "red" / "0.png")
    refused("train had 24, has 25")
    assert run("evaluate", "--model", out, "--part", "all", "--json") == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 31

    config = json.loads((out / "config.json").read_text())
    assert {name: part["count"] for name, part in config.pop("pictures").items()} == {
        "train": 24,
        "val": 6,
    }
    (out / "config.json").write_text(json.dumps(config))  # as runs were before
    assert run("evaluate", "--model", out) == 0
    (folder / "red" / "0.png").unlink()
    assert run("finetune", "--resume", out, "--quiet") == 0


def test_a_probe_sees_other_variants_in_every_epoch(
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Features are kept only where a picture is the same in every epoch."""

    def keep(*_: Any, **__: Any) -> None:
        raise RuntimeError("kept")

    monkeypatch.setattr(finetune, "cache_features", keep)
    words = ["finetune", "--data", photographs, "--method", "probe", *TINY, "--out"]
    assert run(*words, tmp_path / "varied") == 0
    assert run(*words, tmp_path / "same", "--no-augment") == 1
    assert "RuntimeError: kept" in capsys.readouterr().err


def test_numbers_that_are_none_are_null(
    tuned: Path,
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NaN and infinity, which JSON does not know, of a training that failed."""
    wild = Evaluation(float("inf"), 0.5, float("nan"), 6)
    monkeypatch.setattr(training, "evaluate", lambda *_: wild)
    words = ["--data", photographs, "--model", "small_cnn", "--out", tmp_path / "run"]
    assert run("train", *words, *TINY) == 0
    report = strict((tmp_path / "run" / "report.json").read_text())
    assert report["val"] == {"examples": 6, "loss": None, "accuracy": 0.5, "top5": None}

    shutil.copytree(tuned, tmp_path / "wild")
    model, _, _ = runs.load(tuned)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    runs.save_weights(tmp_path / "wild", model)
    capsys.readouterr()
    assert run("evaluate", "--model", tmp_path / "wild", "--json") == 0
    assert strict(capsys.readouterr().out)["loss"] is None
    words = [photographs / "red" / "plain.jpg", "--model", tmp_path / "wild"]
    assert run("predict", *words, "--json") == 0
    (image,) = strict(capsys.readouterr().out)["images"]
    assert {p["probability"] for p in image["predictions"]} == {None}
    assert run("predict", *words) == 0
    assert "nan" in capsys.readouterr().out


def test_a_fine_tuned_network_can_be_fine_tuned(
    tuned: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Head upon head, with a hidden layer; predict rebuilds it from the folder."""
    out = tmp_path / "second"
    words = ["--base", tuned, "--method", "probe", "--hidden", 5, "--dropout", 0.2, "--size", 40]
    assert run("finetune", "--data", photographs, "--out", out, *words, *TINY) == 0
    model, recipe, network = runs.load(out)
    assert [head["hidden"] for head in network.heads] == [None, 5]
    assert (recipe.size, recipe.resize) == (40, 40)
    base = runs.load(tuned)[0].state_dict()
    for key, value in model.state_dict().items():
        if key.startswith("features"):
            assert torch.equal(value, base[key]), key
    assert run("predict", photographs / "red", "--model", out) == 0


def test_one_class_is_no_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "only").mkdir()
    for k in range(5):
        picture(0, k, 20, 20).save(tmp_path / "only" / f"{k}.png")
    assert run("finetune", "--data", tmp_path, "--out", tmp_path / "run") == 1
    assert "has one class, only" in error_line(capsys)
    (tmp_path / "empty").mkdir()
    assert run("finetune", "--data", tmp_path, "--out", tmp_path / "run") == 1
    assert f"class folder {tmp_path / 'empty'} is empty" in error_line(capsys)


def test_folders_that_are_split_already(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "val", "test"):
        shutil.copytree(photographs, tmp_path / "data" / part)
    words = ["--data", tmp_path / "data", "--model", "small_cnn", "--size", 20, "--out"]
    assert run("train", *words, tmp_path / "run", *TINY) == 0
    text = capsys.readouterr().out
    assert "2 classes, 30 train, 30 val, 30 test, 9 files skipped" in text
    assert "test: loss" in text
    model, recipe, _ = runs.load(tmp_path / "run")  # a grey network for 20x20 pixels
    assert recipe.mean == (0.5,)
    assert model.input_size == (1, 20, 20)
    shutil.rmtree(tmp_path / "data" / "val" / "red")
    assert run("train", *words, tmp_path / "other", *TINY) == 1
    assert "other class folders" in error_line(capsys)


@pytest.mark.parametrize(
    ("parts", "counts"),
    [
        (["train", "test"], {"train": 24, "val": 6, "test": 30}),
        (["train", "valid"], {"train": 28, "val": 30, "test": 2}),
        (["train", "validation", "test"], {"train": 30, "val": 30, "test": 30}),
        (["red", "train"], {"train": 42, "val": 12, "test": 6}),  # a class called train
    ],
)
def test_names_of_parts(
    photographs: Path, tmp_path: Path, parts: list[str], counts: dict[str, int]
) -> None:
    """Without val/ or test/, its share comes from train/; test/ is never trained on."""
    for part in parts:
        shutil.copytree(photographs, tmp_path / part)
    pictures = Pictures(Source(str(tmp_path), 0, 0.2, 0.1, 0))
    found = {name: len(pictures.need(name, str)) for name in pictures._parts}
    assert found == counts
    assert list(found) == list(counts)
    assert (pictures.classes == ["blue", "red"]) == ("red" not in parts)
    assert pictures.own_test == ("test" in parts)
    if "test" in parts:
        test = pictures._parts["test"]
        assert all("test" in path.relative_to(tmp_path).parts for path, _ in test.samples)


def test_a_test_part_and_a_share_for_one_do_not_go_together(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "test"):
        shutil.copytree(photographs, tmp_path / "data" / part)
    for source in (tmp_path / "data", "digits"):
        words = ["--data", source, "--model", "small_cnn", "--out", tmp_path / "run"]
        assert run("train", *words, *TINY, "--test-share", 0.1) == 1
        message = f"error: {source} has a test part of its own: --test-share must be 0"
        assert message in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


def test_shares_that_leave_nothing_to_train_on(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", photographs, "--model", "small_cnn", "--out", tmp_path / "run", *TINY]
    for val, test in ((0.2, 0.9), (0.9, 0.1)):
        assert run("train", *words, "--val-share", val, "--test-share", test) == 1
        text = capsys.readouterr().err
        assert "--val-share and --test-share must leave pictures to train on: together" in text
        assert f"below 1, got {val} and {test}" in text
        assert not (tmp_path / "run").exists()


def test_a_validation_part_and_a_share_for_one_do_not_go_together(
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only one that was typed is an error: every config.json has one."""
    monkeypatch.setattr(training, "fit", lambda *_, **__: History())
    for part in ("train", "val"):
        shutil.copytree(photographs, tmp_path / "data" / part)
    words = ["--data", tmp_path / "data", "--model", "small_cnn", *TINY]
    assert run("train", *words, "--out", tmp_path / "typed", "--val-share", 0.2) == 1
    message = f"error: {tmp_path / 'data'} has a validation part of its own: leave --val-share out"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "typed").exists()
    assert run("train", *words, "--out", tmp_path / "first") == 0
    config = tmp_path / "first" / "config.json"
    assert json.loads(config.read_text())["val_share"] == 0.2
    assert run("train", "--config", config, "--out", tmp_path / "second") == 0
    words = ["--data", photographs, "--model", "small_cnn", *TINY, "--val-share", 0.2]
    assert run("train", *words, "--out", tmp_path / "split") == 0


def test_pictures_are_not_read_beforehand_if_nobody_wants_that(
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A million of them, on each process, is an hour; the run knows it when it is measured."""
    shutil.copytree(photographs, tmp_path / "data")
    for folder in ("red", "blue"):
        (tmp_path / "data" / folder / "truncated.jpg").unlink()
    opened: list[Path] = []
    read = _images._read

    def note(path: Path, hint: int | None = None) -> Image.Image:
        opened.append(path)
        return read(path, hint)

    monkeypatch.setattr(_images, "_read", note)
    out = tmp_path / "run"
    words = ["--data", tmp_path / "data", "--model", "small_cnn", *TINY, "--out"]
    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", lambda *_, **__: History())
        patch.setattr(training, "_finish", lambda *_, **__: None)
        assert run("train", *words, tmp_path / "read") == 0
        assert len(opened) == 31
        opened.clear()
        assert run("train", *words, tmp_path / "unread", "--no-check") == 0
        assert opened == []
    assert run("train", *words, out, "--no-check") == 0
    opened.clear()
    capsys.readouterr()
    assert run("evaluate", "--model", out, "--json") == 0
    assert len(opened) == json.loads(capsys.readouterr().out)["examples"] == 6
    assert run("train", "--resume", out, "--check", "--quiet") == 0


@pytest.mark.parametrize(("batch_size", "left_out"), [(23, True), (8, False)])
def test_no_step_on_a_single_picture(
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
    left_out: bool,
) -> None:
    """24 training pictures; batch normalisation may have no statistics of one."""
    seen = []

    def fit(model: Any, train: Any, *_: Any, **__: Any) -> History:
        seen.append(train.drop_last)
        return History()

    monkeypatch.setattr(training, "fit", fit)
    words = ["--data", photographs, "--model", "small_cnn", "--out", tmp_path / "run"]
    assert run("train", *words, *TINY, "--batch-size", batch_size) == 0
    assert seen == [left_out]


def test_train_on_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A data set by name, a grey network, measured by evaluate on the test part."""
    words = ["--data", "digits", "--model", "small_cnn", "--out", tmp_path / "run", "--no-augment"]
    assert run("train", *words, "--epochs", 1, "--device", "cpu", "--batch-size", 32) == 0
    text = capsys.readouterr().out
    assert "10 classes, 1,149 train, 288 val, 360 test" in text
    assert "epoch 1/1" in text
    assert run("evaluate", "--model", tmp_path / "run", "--part", "test", "--json") == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.7


# --- Configuration


def test_a_run_s_configuration_makes_the_same_run(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """config.json of a run, given back: bit for bit the same weights; options count more."""
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    words = ["--data", photographs, "--lr", 0.002, "--method", "partial", "--last", 1]
    assert run("finetune", *words, "--out", first, *TINY) == 0
    config = first / "config.json"
    assert run("finetune", "--config", config, "--out", second) == 0
    assert (first / runs.WEIGHTS).read_bytes() == (second / runs.WEIGHTS).read_bytes()
    stored = json.loads(config.read_text())
    assert (stored["command"], stored["method"], stored["last"]) == ("finetune", "partial", 1)

    plain = tmp_path / "mine.yaml"
    plain.write_text(yaml.safe_dump({"data": str(photographs), "val-share": 0.5, "lr": 0.5}))
    assert run("finetune", "--config", plain, "--out", third, *TINY, "--lr", 0.25) == 0
    stored = json.loads((third / "config.json").read_text())
    assert (stored["lr"], stored["val_share"]) == (0.25, 0.5)

    assert run("finetune", "--config", config) == 1  # its folder is taken
    assert "holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"epoch": 3}', "unknown option 'epoch': did you mean epochs?"),
        ("a.json", '{"epochs": "many"}', "'--epochs'"),
        ("a.json", '{"epochs": 3', "is no JSON or YAML"),
        ("a.yaml", "a: [1", "is no JSON or YAML"),
        ("a.yml", "- 1", "must hold names and values, got list"),
        ("a.json", '{"command": "train"}', "is of the command train, this is finetune"),
    ],
)
def test_configurations_are_checked(
    name: str, text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(text)
    assert run("finetune", "--data", "digits", "--config", tmp_path / name) == 2
    assert message in error_line(capsys)


# --- Interrupted, and resumed


def test_interrupted_and_resumed(
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C: one line that says how to go on, code 130; --resume ends as if nothing had been."""
    words = ["finetune", "--data", photographs, "--epochs", 2, "--batch-size", 8, "--device", "cpu"]
    assert run(*words, "--out", tmp_path / "whole", "--quiet") == 0

    def press(row: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_print_epoch", lambda _: press)
    half = tmp_path / "half"
    assert run(*words, "--out", half) == 130
    line = error_line(capsys)
    assert line == f"interrupted: go on with: python -m cnnlib finetune --resume {half}"
    assert not (half / runs.WEIGHTS).exists()
    monkeypatch.undo()
    monkeypatch.setattr(pretrained, "PLACES", (tmp_path,))
    shutil.copy(tmp_path / "half" / "config.json", tmp_path / "kept.json")

    assert run("predict", photographs / "red", "--model", half) == 1
    assert "its training has not ended; resume it" in error_line(capsys)
    assert run(*words, "--out", half) == 1
    assert "small_vgg_cifar10" in error_line(capsys)


def test_resume_ends_as_if_nothing_had_been(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["finetune", "--data", photographs, "--epochs", 3, "--batch-size", 8, "--device", "cpu"]
    assert run(*words, "--out", tmp_path / "whole", "--quiet") == 0

    def press(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "_print_epoch", lambda _: press)
        assert run(*words, "--out", tmp_path / "half") == 130
    assert run("finetune", "--resume", tmp_path / "half", "--quiet") == 0
    a, b = ((tmp_path / name / runs.WEIGHTS).read_bytes() for name in ("whole", "half"))
    assert a == b


def test_a_refused_resume_changes_nothing(
    tuned: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run goes on with its own options; where the pictures lie is no option of it."""
    folder = tmp_path / "run"
    shutil.copytree(tuned, folder)
    shutil.copytree(photographs, tmp_path / "here")
    shutil.copytree(photographs, tmp_path / "other")
    (tmp_path / "other" / "red").rename(tmp_path / "other" / "green")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    resume = ["finetune", "--resume", folder]
    for words, message in (
        (["--lr", 0.5, "--hidden", 8], "hidden was None, is 8; lr was 0.01, is 0.5"),
        (["--data", tmp_path / "other"], "its model.json has another network or classes"),
    ):
        capsys.readouterr()
        assert run(*resume, *words) == 1
        assert message in capsys.readouterr().err
        assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert run(*resume, "--data", tmp_path / "here", "--workers", 0, "--quiet") == 0
    assert json.loads((folder / "config.json").read_text())["data"] == str(tmp_path / "here")
    assert run("predict", photographs / "red", "--model", folder) == 0


def test_killed_before_the_first_epoch(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever stands there while nothing is trained: --resume begins anew, and so does --out."""
    words = ["train", "--data", photographs, "--model", "small_cnn", *TINY, "--out"]
    assert run(*words, tmp_path / "whole") == 0
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    other = whole["model.json"].replace(b"small_cnn", b"lenet5")
    assert other != whole["model.json"]
    states: dict[str, dict[str, bytes]] = {
        "config": {},
        "half": {"model.json.tmp": b"{"},
        "both": {"model.json": whole["model.json"]},
        "another's": {"model.json": other},  # of a run that was killed there before
    }
    for name, files in states.items():
        for way in ("resume", "out"):
            folder = tmp_path / f"{name} {way}"
            folder.mkdir()
            config = json.loads(whole["config.json"]) | {"out": str(folder)}
            for file, content in {**files, "config.json": json.dumps(config).encode()}.items():
                (folder / file).write_bytes(content)
            again = ["train", "--resume"] if way == "resume" else words
            assert run(*again, folder) == 0, capsys.readouterr().err
            assert (folder / runs.WEIGHTS).read_bytes() == whole[runs.WEIGHTS]
            assert (folder / "model.json").read_bytes() == whole["model.json"]
            assert not (folder / "model.json.tmp").exists()

    capsys.readouterr()
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    (nothing / "config.json.tmp").write_bytes(b"{")
    assert run("train", "--resume", nothing) == 2
    assert "no config.json" in error_line(capsys)
    assert run(*words, nothing) == 0
    (nothing / "model.json").unlink()  # but what was trained is not trained anew
    assert run("train", "--resume", nothing) == 1
    assert "it has no model.json" in capsys.readouterr().err


def test_the_base_of_an_interrupted_run_may_move(
    tuned: Path,
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its weights must be the same: a probe keeps those of the head alone."""
    here, there, half = (tmp_path / name for name in ("here", "there", "half"))
    shutil.copytree(tuned, here)
    words = ["finetune", "--data", photographs, "--method", "probe", "--no-augment", "--epochs", 2]
    words += ["--batch-size", 8, "--device", "cpu", "--base", here, "--out"]
    assert run(*words, tmp_path / "whole", "--quiet") == 0

    def press(row: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "_print_epoch", lambda _: press)
        assert run(*words, half) == 130
    here.rename(there)
    other, _, _ = runs.load(there)
    with torch.no_grad():
        next(other.parameters()).add_(0.1)
    shutil.copytree(there, tmp_path / "other")
    runs.save_weights(tmp_path / "other", other)
    before = {path: path.read_bytes() for path in half.iterdir()}
    again = ["finetune", "--resume", half, "--quiet"]
    for base, message in (
        (tmp_path / "other", f"base {tmp_path / 'other'} has other weights"),
        ("small_vgg", f"base was '{here}', is 'small_vgg'"),
    ):
        capsys.readouterr()
        assert run(*again, "--base", base) == 1
        assert message in capsys.readouterr().err
        assert {path: path.read_bytes() for path in half.iterdir()} == before
    assert run(*again, "--base", there) == 0
    a, b = ((tmp_path / name / runs.WEIGHTS).read_bytes() for name in ("whole", "half"))
    assert a == b
    assert json.loads((half / "config.json").read_text())["base"] == str(there)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("config.json", lambda text: text[:9], "line "),
        ("config.json", lambda text: "\xff", "can't decode"),
        ("config.json", lambda text: "[1]", "it must hold names and values, got list"),
        ("config.json", lambda text: text.replace('"val_share": 0.2', '"val_share": "a"'), "'a'"),
        ("config.json", lambda text: text.replace('"count": 24', '"n": 24'), "pictures has train"),
        ("model.json", lambda text: text[:9], "line "),
        ("model.json", lambda text: "\xff", "can't decode"),
        ("model.json", lambda text: "[1]", "it must hold names and values, got list"),
        ("model.json", lambda text: "{}", "it has no 'network'"),
        ("model.json", lambda text: text.replace('"small_vgg"', '"nonsense"'), "no network 'nons"),
        ("model.json", lambda text: altered(text, "recipe", mean="abc"), "mean is 'abc'"),
        ("model.json", lambda text: altered(text, "recipe", size="a"), ""),
        ("model.json", lambda text: altered(text, "network", options={"a": 1}), "no option 'a'"),
        (
            "model.json",
            lambda text: altered(text, "recipe", classes=["a", "b", "c"]),
            "it names 3 classes for 2 outputs",
        ),
    ],
)
def test_damaged_files_of_a_run_are_named(
    tuned: Path,
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: Callable[[str], str],
    message: str,
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(tuned, folder)
    text = (folder / name).read_text(encoding="utf-8")
    changed = damage(text)
    assert changed != text
    (folder / name).write_bytes(changed.encode("latin-1"))
    commands = [["evaluate", "--model", folder]]
    if name == "model.json":
        commands += [["predict", photographs / "red" / "0.jpeg", "--model", folder]]
        commands += [["summary", folder]]
    for words in commands:
        assert run(*words) == 1
        line = error_line(capsys)
        assert line.startswith(f"error: {folder / name} is damaged: ")
        assert message in line


def altered(text: str, part: str, **values: Any) -> str:
    """A model.json with other values."""
    there = json.loads(text)
    there[part] |= values
    return json.dumps(there)


def test_weights_are_kept_whatever_fails_afterwards(
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["train", "--data", photographs, "--model", "small_cnn", *TINY, "--out"]
    with monkeypatch.context() as patch:
        patch.setattr(training, "evaluate", lambda *_: 1 / 0)
        assert run(*words, tmp_path / "run") == 1
    runs.load(tmp_path / "run")
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert run(*words, tmp_path / "curves", "--tensorboard") == 1
    assert "tensorboard, which is not installed" in capsys.readouterr().err
    assert not (tmp_path / "curves").exists()  # said before the training


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_a_real_ctrl_c(photographs: Path, tmp_path: Path) -> None:
    """SIGINT to a process in its first epochs."""
    words = ["train", "--data", photographs, "--model", "small_cnn", "--epochs", 1000]
    words += ["--device", "cpu", "--out", tmp_path / "run"]
    command = [sys.executable, "-m", "cnnlib", *map(str, words)]

    def listen() -> None:  # a shell's job in the background is started deaf to SIGINT
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, preexec_fn=listen, **pipes) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch 1/"):
                process.send_signal(signal.SIGINT)
                break
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err.splitlines()[1:] == [  # after the line about skipped files
        f"cnnlib: interrupted: go on with: python -m cnnlib train --resume {tmp_path / 'run'}"
    ]
    assert (tmp_path / "run" / "last.pt").is_file()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="torchrun wants gloo on Unix")
def test_train_under_torchrun(photographs: Path, tmp_path: Path) -> None:
    """Two processes: one speaks, one writes, both end with code 0; one alone learns the same."""
    words = ["--data", photographs, "--model", "lenet5", "--epochs", 1, "--device", "cpu"]
    words += ["--no-augment"]
    assert run("train", *words, "--batch-size", 8, "--out", tmp_path / "alone") == 0
    words += ["--batch-size", 4, "--out", tmp_path / "run"]
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", 2, "-m", "cnnlib", "train"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = python(*torchrun, *words, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("epoch 1/1") == 1
    assert result.stdout.count("saved in") == 1
    assert json.loads((tmp_path / "run" / "report.json").read_text())["val"]["examples"] == 6
    alone, both = (runs.load(tmp_path / name)[0].state_dict() for name in ("alone", "run"))
    assert list(alone) == list(both)
    for name, value in alone.items():
        assert torch.allclose(value, both[name], rtol=0, atol=1e-6), name


# --- ImageNet weights, and looking at networks


def test_predict_a_photograph_with_imagenet_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Top five of a thousand classes; weights of the right name and shapes lie in torch's cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    photo = tmp_path / "hopper.jpg"
    Image.fromarray(datasets.photograph("grace_hopper")).save(photo)
    assert run("predict", photo, "--model", "resnet18") == 1
    line = error_line(capsys)
    assert "ImageNet weights of resnet18 (45 MB) are not in" in line
    assert "cannot be downloaded" in line

    folder = tmp_path / "hub" / "checkpoints"
    torch.manual_seed(0)
    reference = torchvision.models.resnet18(weights=None).eval()
    with torch.no_grad():
        reference.fc.weight *= 30
    torch.save(reference.state_dict(), folder / "resnet18-f37072fd.pth")
    assert run("predict", photo, "--model", "resnet18", "--json") == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    x = weights.transforms()(Image.open(photo))
    with torch.no_grad():
        chances = torch.softmax(reference(x[None]), 1)[0]
    best = chances.topk(5)
    assert [p["class"] for p in image["predictions"]] == [
        weights.meta["categories"][k] for k in best.indices
    ]
    got = [p["probability"] for p in image["predictions"]]
    assert got == pytest.approx(best.values.tolist(), rel=0.02)


def test_a_download_leaves_json_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """torch announces a download on stdout, where a program reads the answer."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)

    def download(url: str, place: str, *_: Any, **__: Any) -> None:
        print(f'Downloading: "{url}"')
        torch.save(torchvision.models.resnet18(weights=None).state_dict(), place)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    photo = tmp_path / "a.png"
    picture(0, 0, 40, 40).save(photo)
    assert run("predict", photo, "--model", "resnet18", "--json") == 0
    assert len(strict(capsys.readouterr().out)["images"]) == 1


def test_summary_of_vgg16(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("summary", "vgg16", "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["parameters"], table["macs"]) == (138_357_544, 15_470_264_320)
    assert run("summary", "vgg16", "--stages") == 0
    text = capsys.readouterr().out
    assert "138,357,544 parameters" in text
    assert len(text.splitlines()) < 8


@pytest.mark.parametrize(
    ("name", "classes"),
    [("lenet5", 10), ("small_vgg", 10), ("vgg11", 1000), ("squeezenet1_1", 1000)],
)
def test_a_network_has_the_classes_it_was_drawn_for(
    name: str, classes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the command line, and of torchvision's networks, which ours are not."""

    def outputs(*words: str) -> int:
        assert run("summary", name, "--json", *words) == 0
        return json.loads(capsys.readouterr().out)["rows"][-1]["shape"][0]

    assert outputs() == classes
    assert outputs("--classes", "7") == 7


def test_summary_of_a_run(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("summary", tuned, "--json") == 0
    assert json.loads(capsys.readouterr().out)["input"] == [3, 32, 32]
    assert run("summary", tuned, "--classes", 7) == 1
    assert (
        error_line(capsys) == f"error: --classes must be left out with a run, {tuned} has its own"
    )


def test_bench_waits_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append(device.type))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    for name in ("cpu", "cuda", "mps"):
        looking._wait(torch.device(name))
    assert waited == ["cuda", "mps"]


def test_bench_counts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["bench", "small_cnn", "--steps", 2, "--batch-size", 4, "--device", "cpu"]
    started = time.perf_counter()
    assert run(*words, "--json") == 0
    took = time.perf_counter() - started
    report = json.loads(capsys.readouterr().out)
    for what, passes in (("inference", 1), ("training", 3)):
        speed = report[what]
        assert speed["images_per_second"] > 2 * 4 / took
        flops = 2 * passes * report["macs"] * speed["images_per_second"]
        assert speed["tflops"] == pytest.approx(flops / 1e12)
    assert run(*words, "--precision", "bf16", "--channels-last") == 0
    assert "images/s" in capsys.readouterr().out
