"""Chapter 09's trainings with one seed: the network, the cures, rates, the search, the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import loguniform
from sklearn.model_selection import ParameterGrid, ParameterSampler
from torch import nn

from cnnlib import calibration, datasets, metrics
from cnnlib.pytorch import data
from cnnlib.pytorch.train import TrainConfig, fit, predict_logits

MEAN, STD = (0.37, 0.32, 0.33), (0.28, 0.24, 0.25)
PLAIN = data.eval_transform(32, mean=MEAN, std=STD)
AUGMENTED = data.train_transform(
    32, mean=MEAN, std=STD, scale=(0.6, 1), flip=False, rotation=10, colour=0.4
)
BLOCKS = (
    ("speed_30", "speed_50", "speed_80"),
    ("right_curve", "pedestrians", "road_works"),
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

    def certain(self) -> dict[str, Any]:
        """The over-fitted network's confidence, before and after temperature scaling."""
        net = network(self.seed)
        history = self.train(net, self.signs(280), 20)
        return {"val_loss": _end(history)["val_loss"], **self._calibrated(net)[0]}

    def finder(self) -> dict[str, float]:
        """Where the smoothed loss of the learning-rate finder is lowest, and how it climbs then."""
        rates, losses = find_rate(network(self.seed), self.signs(1400), self.seed)
        smooth = np.convolve(losses, np.ones(7) / 7, "valid")
        bottom = int(np.argmin(smooth))
        return {
            "bottom": round(float(rates[3 + bottom]), 4),
            "fall": round(float(smooth[0] - smooth[bottom]), 4),
            "rise": round(float(smooth[bottom:].max() - smooth[bottom]), 4),
            "steps": len(losses),
        }

    def search(self) -> dict[str, Any]:
        """Nine short trainings from a grid, nine at random: the validation accuracies."""
        few = self.signs(280)
        grid = ParameterGrid({"lr": [0.001, 0.01, 0.1], "weight_decay": [1e-5, 1e-4, 1e-3]})
        space = {"lr": loguniform(0.001, 0.1), "weight_decay": loguniform(1e-5, 1e-3)}
        trials = {"grid": grid, "random": ParameterSampler(space, 9, random_state=self.seed)}
        found = {}
        for name, options in trials.items():
            found[name] = [
                _end(self.train(network(self.seed, batch_norm=True), few, 3, **o))["val_accuracy"]
                for o in options
            ]
        table = np.reshape(found["grid"], (3, 3))  # rate, weight decay
        return {
            **found,
            "spread_over_rates": round(float(table.mean(1).std()), 4),
            "spread_over_decays": round(float(table.mean(0).std()), 4),
        }

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

    def batch_norm(self) -> dict[str, Any]:
        """A high learning rate with and without batch normalisation."""
        signs = self.signs(1400)
        return {
            name: _end(self.train(network(self.seed, batch_norm=on), signs, 3, 0.07))
            for name, on in (("without", False), ("with", True))
        }

    def all_together(self) -> dict[str, Any]:
        """The network whose answers the chapter weighs."""
        net = network(self.seed, batch_norm=True)
        options = {"schedule": "cosine", "warmup": 1.0, "weight_decay": 5e-4}
        self.train(net, self.signs(2800), 6, 0.05, **options)
        found, logits, labels = self._calibrated(net)
        test = self.signs(1400, split="test")
        predicted = logits.argmax(1)
        right, night = predicted == labels, np.asarray(test.night)
        recall = metrics.precision_recall_f1(
            metrics.confusion_matrix(labels, predicted, len(datasets.ROAD_SIGNS))
        ).recall
        blocks = [[datasets.ROAD_SIGNS.index(name) for name in block] for block in BLOCKS]
        inside = sum(np.isin(labels, b) & np.isin(predicted, b) for b in blocks)
        confidence = torch.from_numpy(logits).softmax(1).amax(1).numpy()
        answered = [right[confidence >= t] for t in (0.0, 0.5, 0.9)]
        left, turned = (datasets.ROAD_SIGNS.index(f"turn_{s}") for s in ("left", "right"))
        chosen = np.flatnonzero(np.isin(labels, (left, turned)))
        with torch.no_grad():
            mirrored = net(torch.stack([test[i][0] for i in chosen]).flip(3)).argmax(1).numpy()
        shares: dict[str, Any] = {
            "accuracy": right.mean(),
            "accuracy_by_day": right[~night].mean(),
            "accuracy_at_night": right[night].mean(),
            "mistakes_within_blocks": (inside & ~right).sum() / (~right).sum(),
            "lowest_recall": recall.min(),
            "mirrored_turns_called_the_other": (mirrored == left + turned - labels[chosen]).mean(),
            "mirrored_turns_called_as_before": (mirrored == labels[chosen]).mean(),
        }
        return {
            **found,
            **{name: round(float(value), 4) for name, value in shares.items()},
            "least_found": datasets.ROAD_SIGNS[int(recall.argmin())],
            "answered": [round(len(a) / len(labels), 4) for a in answered],
            "accuracy_where_answered": [round(float(a.mean()), 4) for a in answered],
        }

    def _calibrated(self, net: nn.Module) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        """Temperature from the validation set, errors on the test set; test logits and labels."""
        logits, labels = predict_logits(net, self.val, device="cpu")
        t = calibration.temperature(logits, labels)
        test = data.loader(self.signs(1400, split="test"), 700)
        logits, labels = predict_logits(net, test, device="cpu")
        before, after = (
            calibration.expected_calibration_error((logits / s).softmax(1), labels) for s in (1, t)
        )
        found = {
            "temperature": round(t, 3),
            "ece": round(before, 4),
            "ece_calibrated": round(after, 4),
        }
        return found, logits.numpy(), labels.numpy()


def find_rate(
    net: nn.Module, dataset: Any, seed: int, low: float = 1e-5, high: float = 1.0, steps: int = 80
) -> tuple[np.ndarray, np.ndarray]:
    """Rates and losses of one run with a rising rate, up to where the loss runs away."""
    rates, losses = np.geomspace(low, high, steps), []
    optimizer = torch.optim.SGD(net.parameters(), momentum=0.9, lr=low)
    batches = data.loader(dataset, 16, shuffle=True, seed=seed)
    for rate, (x, y) in zip(rates, batches, strict=False):
        optimizer.param_groups[0]["lr"] = rate
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if not losses[-1] < 3 * losses[0]:  # not a number is not smaller either
            break
    return rates[: len(losses)], np.nan_to_num(losses, nan=np.inf, posinf=np.inf)


def _end(history: Any) -> dict[str, float | None]:
    return _rounded(history.rows[-1])


def _rounded(row: dict[str, Any]) -> dict[str, float | None]:
    names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
    numbers = {name: float(row[name]) for name in names}  # a loss that overflowed becomes null
    return {n: round(v, 4) if np.isfinite(v) else None for n, v in numbers.items()}
