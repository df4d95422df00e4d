"""Chapter 09's trainings from five seeds: what its verdicts may rely on.

python benchmarks/road_signs_training.py [--seeds 0 1 2 3 4] [--json FILE]

A few minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

from cnnlib import calibration, datasets
from cnnlib.pytorch import data
from cnnlib.pytorch.train import TrainConfig, fit, predict_logits

MEAN, STD = (0.37, 0.32, 0.33), (0.28, 0.24, 0.25)
PLAIN = data.eval_transform(32, mean=MEAN, std=STD)
AUGMENTED = data.train_transform(
    32, mean=MEAN, std=STD, scale=(0.6, 1), flip=False, rotation=10, colour=0.4
)


def network(seed: int, *, batch_norm: bool = False, dropout: float = 0.0) -> nn.Sequential:
    """The network of the chapter."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs, kernel in ((3, 16, 5), (16, 32, 3), (32, 64, 3)):
        layers.append(nn.Conv2d(inputs, outputs, kernel, 2, kernel // 2))
        layers += [nn.BatchNorm2d(outputs)] if batch_norm else []
        layers.append(nn.ReLU())
    layers += [nn.Flatten(), nn.Dropout(dropout), nn.Linear(1024, 128), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(128, 14))
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return net


class Experiment:
    """The trainings of the chapter with one seed for data, weights and order."""

    def __init__(self, seed: int):
        self.seed = seed
        self.val = data.loader(self.signs(420, split="val"), 420)

    def signs(self, n: int, transform: Any = PLAIN, split: str = "train") -> Any:
        """Road signs, the same ones for the chapter's seed."""
        return data.road_signs_dataset(n, self.seed, split, transform)

    def train(self, net: nn.Module, dataset: Any, epochs: int, lr: float = 0.02, **options: Any):
        """The history of one training."""
        config = TrainConfig(
            **{"epochs": epochs, "lr": lr, "weight_decay": 0.0, "seed": self.seed, **options}
        )
        loader = data.loader(dataset, 32, shuffle=True, seed=self.seed)
        return fit(net, loader, self.val, config, device="cpu", progress=False)

    def cures(self) -> dict[str, Any]:
        """Over-fitting, and each cure alone: the last epoch's values."""
        few = self.signs(280)
        runs = {
            "nothing": self.train(network(self.seed), few, 20),
            "more data": self.train(network(self.seed), self.signs(1400), 4),
            "augmentation": self.train(network(self.seed), self.signs(280, AUGMENTED), 20),
            "weight decay": self.train(network(self.seed), few, 20, weight_decay=0.03),
            "dropout": self.train(network(self.seed, dropout=0.5), few, 20),
            "early stopping": self.train(
                network(self.seed), few, 20, patience=4, restore_best=True
            ),
        }
        found = {name: _end(history) for name, history in runs.items()}
        stopped = runs["early stopping"]
        found["early stopping"] = {
            **_rounded(stopped.best()),
            "epochs": len(stopped.rows),
        }
        return found

    def schedules(self) -> dict[str, Any]:
        """A constant rate against warm-up and cosine."""
        signs = self.signs(1400)
        options: dict[str, dict[str, Any]] = {
            "constant": {},
            "cosine": {"schedule": "cosine", "warmup": 1.0},
        }
        return {
            name: _end(self.train(network(self.seed, batch_norm=True), signs, 5, 0.05, **more))
            for name, more in options.items()
        }

    def normalised(self) -> dict[str, Any]:
        """A high learning rate with and without batch normalisation."""
        signs = self.signs(700)
        return {
            name: _end(self.train(network(self.seed, batch_norm=on), signs, 3, 0.1))
            for name, on in (("without", False), ("with", True))
        }

    def all_together(self) -> dict[str, Any]:
        """The network whose answers the chapter weighs; calibrated on the validation set."""
        net = network(self.seed, batch_norm=True)
        options = {"schedule": "cosine", "warmup": 1.0, "weight_decay": 5e-4}
        self.train(net, self.signs(2800), 6, 0.05, **options)
        logits, labels = predict_logits(net, self.val, device="cpu")
        t = calibration.temperature(logits, labels)
        test = data.loader(self.signs(1400, split="test"), 700)
        logits, labels = predict_logits(net, test, device="cpu")
        before, after = (
            calibration.expected_calibration_error((logits / s).softmax(1), labels) for s in (1, t)
        )
        return {
            "accuracy": round(float((logits.argmax(1) == labels).float().mean()), 4),
            "temperature": round(t, 3),
            "ece": round(before, 4),
            "ece_calibrated": round(after, 4),
        }


def _end(history: Any) -> dict[str, float | None]:
    return _rounded(history.rows[-1])


def _rounded(row: dict[str, Any]) -> dict[str, float | None]:
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    numbers = {name: float(row[name]) for name in names}  # a loss that overflowed becomes null
    return {n: round(v, 4) if np.isfinite(v) else None for n, v in numbers.items()}


def run(seed: int) -> dict[str, Any]:
    """Everything with one seed."""
    experiment = Experiment(seed)
    return {
        "seed": seed,
        "cures": experiment.cures(),
        "batch_norm": experiment.normalised(),
        "schedules": experiment.schedules(),
        "all_together": experiment.all_together(),
    }


def main() -> None:
    """Print what each seed gives, and write the record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--json", help="file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs = []
    for seed in args.seeds:
        runs.append(run(seed))
        print(json.dumps(runs[-1]), flush=True)
    record = {
        "what": "chapter 09: small networks on road signs, each training from five seeds",
        "command": "python benchmarks/road_signs_training.py "
        "--json data/measured/road_signs_training.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {n: metadata.version(n) for n in ("numpy", "torch", "torchvision")},
        "classes": len(datasets.ROAD_SIGNS),
        "runs": runs,
        "worst": worst(runs),
    }
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            f.write(json.dumps(record, indent=1) + "\n")


def worst(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """For each claim of the chapter, the margin of the seed that bears it out least."""
    base = [r["cures"]["nothing"] for r in runs]
    return {
        "lower_val_loss_by": {
            name: round(
                min(b["val_loss"] - r["cures"][name]["val_loss"]
                    for b, r in zip(base, runs, strict=True)), 4)
            for name in runs[0]["cures"] if name != "nothing"
        },
        "training_accuracy_of_nothing": min(b["train_accuracy"] for b in base),
        "accuracy_gained_by_more_data": round(
            min(r["cures"]["more data"]["val_accuracy"] - b["val_accuracy"]
                for b, r in zip(base, runs, strict=True)), 4),
        "loss_saved_by_cosine": round(
            min(r["schedules"]["constant"]["val_loss"] - r["schedules"]["cosine"]["val_loss"]
                for r in runs), 4),
        "training_loss_with_batch_norm": max(r["batch_norm"]["with"]["train_loss"] for r in runs),
        "accuracy_all_together": [
            float(f([r["all_together"]["accuracy"] for r in runs])) for f in (np.min, np.max)
        ],
        "ece_saved_by_temperature": round(
            min(r["all_together"]["ece"] - r["all_together"]["ece_calibrated"] for r in runs), 4),
    }  # fmt: skip


if __name__ == "__main__":
    main()
