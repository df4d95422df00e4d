"""How many labels does it take? Road signs from scratch and from the small VGG (chapter 11).

python benchmarks/finetune_curve.py --json data/measured/finetune.json

5, 20 and 100 images of each of 14 signs; a new network, a linear probe, the later half, everything;
accuracy on 700 test images that were drawn apart. The learning rate of each method is chosen
first, on signs drawn for validation. About half an hour on one core; --jobs 2 trains two at a time,
each with one thread, so that the results are the same. Each is written at once: started again with
the same file, weights and settings, the script does what is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from jobs import in_order
from torch.utils.data import TensorDataset

from cnnlib import datasets
from cnnlib.pytorch import data, finetune, models, pretrained
from cnnlib.pytorch.train import TrainConfig, evaluate

CLASSES = len(datasets.ROAD_SIGNS)
TEST = 50 * CLASSES
# What each method gets at 5, 20 and 100 images of a class. The probe's epochs cost next to nothing:
# the features are computed once.
SETTINGS: dict[str, Any] = {
    "epochs": {"scratch": [24, 12, 5], "probe": [60, 60, 30], "partial": [24, 12, 5],
               "full": [24, 12, 5]},
    "rates": {"scratch": [3e-4, 1e-3, 3e-3, 1e-2], "probe": [3e-3, 1e-2, 3e-2, 1e-1],
              "partial": [3e-4, 1e-3, 3e-3, 1e-2], "full": [3e-4, 1e-3, 3e-3, 1e-2]},
    "batch": 16, "optimizer": "adamw", "weight_decay": 0.05, "schedule": "cosine",
    "warmup": 1.0,
}  # fmt: skip
TOO_HIGH = 0.1  # a learning rate for chapter 11's "what goes wrong": full fine-tuning, 5 images
DECAY = 0.5  # its cure by smaller rates towards the input, at the rate chosen for full fine-tuning
SHOTS = (5, 20, 100)
CHOICE = (5, 100)  # rates are chosen with so many images of a class, drawn from this seed
SEEDS = {5: (0, 1, 2, 3, 4), 20: (0, 1, 2), 100: (0, 1, 2)}
METHODS = ("scratch", *finetune.METHODS)


def signs(per_class: int, seed: int, split: str) -> TensorDataset:
    """Drawn signs as the small VGG wants them: (N, 3, 32, 32), normalised once."""
    drawn = datasets.road_signs(per_class * CLASSES, seed, split=split)
    mean, std = (torch.tensor(v)[:, None, None] for v in (data.CIFAR10_MEAN, data.CIFAR10_STD))
    return TensorDataset((torch.from_numpy(drawn.x) - mean) / std, torch.from_numpy(drawn.y))


def accuracy(
    method: str, shots: int, seed: int, lr: float, test: TensorDataset, decay: float = 1.0
) -> float:
    """Train by a method on so many images of each class; measure on the test images."""
    if method == "scratch":
        torch.manual_seed(seed)
        model = models.build("small_vgg", classes=CLASSES)
    else:
        model = pretrained.small_vgg()
        finetune.replace_head(model, CLASSES, seed=seed)
    config = TrainConfig(
        epochs=SETTINGS["epochs"][method][SHOTS.index(shots)],
        lr=lr,
        seed=seed,
        **{k: SETTINGS[k] for k in ("optimizer", "weight_decay", "schedule", "warmup")},
    )
    finetune.fine_tune(
        model,
        signs(shots, seed, "train"),
        config=config,
        method="full" if method == "scratch" else method,
        decay=decay,
        batch_size=SETTINGS["batch"],
        device="cpu",
        progress=False,
    )
    return evaluate(model, data.loader(test, 100)).accuracy


def summary(results: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """For each number of images: mean and spread of each method, and the margin of the best.

    The spread is the standard deviation over the seeds. The margin is the least accuracy of full
    fine-tuning less the greatest from scratch: above 0, no seed of the one reaches the other.
    """
    table: dict[str, Any] = {}
    for shots in results:
        rows = {m: a for m, a in results[shots].items() if len(a) > 1}
        table[shots] = {
            m: {"mean": round(statistics.mean(a), 4), "std": round(statistics.stdev(a), 4)}
            for m, a in rows.items()
        }
        if {"scratch", "full"} <= set(rows):
            gap = statistics.mean(rows["full"]) - statistics.mean(rows["scratch"])
            table[shots]["gap"] = round(gap, 4)
            table[shots]["margin"] = round(min(rows["full"]) - max(rows["scratch"]), 4)
    return table


def band(values: list[float]) -> list[float]:
    """Where chapter 11's own run at 5 images of a class has to end: the seeds' range and 0.06."""
    return [round(max(0.0, min(values) - 0.06), 3), round(min(1.0, max(values) + 0.06), 3)]


def fingerprint() -> str:
    """Of the weights that everything starts from."""
    places = (p / f"{pretrained.SMALL_VGG}.safetensors" for p in pretrained.PLACES)
    path = next(p for p in places if p.is_file())
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def write(record: dict[str, Any], path: Path | None) -> None:
    """Replace the file in one step, so that none is ever half written."""
    if path is None:
        return
    text = json.dumps(record, indent=1) + "\n"
    path.with_suffix(".tmp").write_text(text, encoding="utf-8")
    os.replace(path.with_suffix(".tmp"), path)


def conclude(record: dict[str, Any]) -> None:
    """Work out summary and bands from the accuracies that are there."""
    results = record["accuracy"]
    record["summary"] = summary(results)
    record["band"] = {m: band(a) for m, a in results["5"].items() if len(a) >= 5}
    for aside in (record["mistake"], record["decayed"]):
        if len(aside["accuracy"]) >= 5:
            aside["band"] = band(aside["accuracy"])


def choose_rates(record: dict[str, Any], path: Path | None, jobs: int) -> None:
    """Try every rate of every method, judged on validation signs; the best goes to record["lr"]."""
    shots, seed = CHOICE
    val = signs(TEST // CLASSES, seed, "val")
    for method in METHODS:
        tried = record["choice"].setdefault(method, {})
        missing = [lr for lr in SETTINGS["rates"][method] if str(lr) not in tried]
        runs = [(method, shots, seed, lr, val) for lr in missing]
        for lr, found in zip(missing, in_order(accuracy, runs, jobs), strict=True):
            tried[str(lr)] = round(found, 4)
            print(f"{method:8} rate {lr:g}: {found:.3f} on validation", flush=True)
            write(record, path)
        record["lr"][method] = float(max(tried, key=tried.__getitem__))


def main() -> None:
    """Run what is missing; print a table; write the record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="file to write, and to go on from")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    args = parser.parse_args()
    record: dict[str, Any] = {
        "what": f"accuracy on {TEST} drawn road signs after training on 5, 20, 100 of each class",
        "command": "python benchmarks/finetune_curve.py --json data/measured/finetune.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {n: metadata.version(n) for n in ("numpy", "torch")},
        "weights": fingerprint(),
        "settings": SETTINGS,
        "seeds": {str(k): list(v) for k, v in SEEDS.items()},
        "chosen_with": {"images": CHOICE[0], "seed": CHOICE[1], "split": "val"},
        "choice": {},
        "lr": {},
        "accuracy": {str(shots): {m: [] for m in METHODS} for shots in SHOTS},
        "mistake": {"lr": TOO_HIGH, "accuracy": []},
        "decayed": {"decay": DECAY, "accuracy": []},
    }
    path = Path(args.json) if args.json else None
    if path is not None and path.is_file():
        old = json.loads(path.read_text(encoding="utf-8"))
        same = ("weights", "settings", "seeds", "chosen_with", "versions")
        if all(old.get(k) == record[k] for k in same):
            record["choice"], record["accuracy"] = old["choice"], old["accuracy"]
            for key, setting, value in (("mistake", "lr", TOO_HIGH), ("decayed", "decay", DECAY)):
                if old[key][setting] == value:
                    record[key] = old[key]
    torch.set_num_threads(1)
    choose_rates(record, path, args.jobs)
    test, rates = signs(TEST // CLASSES, 0, "test"), record["lr"]
    results = record["accuracy"]
    todo: list[Any] = [
        (results[str(shots)][method], k, (method, shots, seed, rates[method], 1.0))
        for shots in SHOTS
        for k, seed in enumerate(SEEDS[shots])
        for method in METHODS
    ]
    few = len(SEEDS[5]) * len(METHODS)  # mistake and cure come after the runs with 5 images
    todo[few:few] = [
        (record[key]["accuracy"], k, ("full", 5, seed, lr, decay))
        for key, lr, decay in (("mistake", TOO_HIGH, 1.0), ("decayed", rates["full"], DECAY))
        for k, seed in enumerate(SEEDS[5])
    ]
    todo = [(done, run) for done, k, run in todo if len(done) <= k]
    runs = [(*run[:4], test, run[4]) for _, run in todo]
    for (done, run), found in zip(todo, in_order(accuracy, runs, args.jobs), strict=True):
        done.append(round(found, 4))
        method, shots, seed, lr, decay = run
        text = f"{shots:4d} images, seed {seed}, {method:8} rate {lr:g}, decay {decay:g}: "
        print(f"{text}{found:.3f}", flush=True)
        conclude(record)
        write(record, path)
    conclude(record)
    write(record, path)
    for shots, row in record["summary"].items():
        print(shots, row)


if __name__ == "__main__":
    main()
