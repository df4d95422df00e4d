"""How hard the drawn road signs are, and how fast they are drawn.

python benchmarks/road_signs_data.py [--seeds 0 1 2] [--json data/measured/road_signs_data.json]

A linear model on the pixels must not be enough; a small convolutional network with batch
normalisation must get nearly all. Takes some minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import warnings
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from cnnlib import datasets
from cnnlib.pytorch import data
from cnnlib.pytorch.models.vgg import make_features
from cnnlib.pytorch.train import TrainConfig, fit, predict_logits

LINEAR_IMAGES, CNN_IMAGES, TEST_IMAGES = 5000, 8000, 2000
PENALTIES = [1e-2, 1e-1, 1.0]  # scikit-learn's C
CONFIG = {"epochs": 10, "lr": 0.1, "schedule": "cosine", "warmup": 2.0, "weight_decay": 5e-4}
BATCH = 64


def images_per_second() -> float:
    """The best of five, in seconds of this process, so that others do not count."""
    datasets.road_signs(14, 0)
    rates = []
    for seed in range(5):
        start = time.process_time()
        datasets.road_signs(1000, seed)
        rates.append(1000 / (time.process_time() - start))
    return max(rates)


def linear(difficulty: float) -> dict[str, float]:
    """Test accuracy of logistic regression on the pixels, for each strength of the penalty."""
    train = datasets.road_signs(LINEAR_IMAGES, 0, difficulty=difficulty)
    test = datasets.road_signs(TEST_IMAGES, 0, split="test", difficulty=difficulty)
    scores = {}
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=100)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 100 steps are plenty to see where it goes
            model.fit(train.x.reshape(len(train.x), -1), train.y)
        scores[str(penalty)] = round(model.score(test.x.reshape(len(test.x), -1), test.y), 4)
    return scores


def network(seed: int) -> nn.Sequential:
    """Four convolutions with batch normalisation and one dense layer: 104,862 parameters."""
    torch.manual_seed(seed)
    features = make_features((16, "M", 32, "M", 64, "M", 128), batch_norm=True, bias=False)
    classes = len(datasets.ROAD_SIGNS)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(512, classes))


def convolutional(seed: int) -> dict[str, Any]:
    """Test accuracy of the network, of day and night apart."""
    train = data.road_signs_dataset(CNN_IMAGES, seed)
    test = data.road_signs_dataset(TEST_IMAGES, seed, "test")
    model, start = network(seed), time.process_time()
    loader = data.loader(train, BATCH, shuffle=True, seed=seed, drop_last=True)
    fit(model, loader, config=TrainConfig(seed=seed, **CONFIG), device="cpu", progress=False)
    seconds = time.process_time() - start
    logits, labels = predict_logits(model, data.loader(test, 250), device="cpu")
    right = (logits.argmax(1) == labels).numpy()
    return {
        "accuracy": round(float(right.mean()), 4),
        "by_day": round(float(right[~test.night].mean()), 4),
        "at_night": round(float(right[test.night].mean()), 4),
        "per_class": {
            name: round(float(right[labels.numpy() == k].mean()), 3)
            for k, name in enumerate(datasets.ROAD_SIGNS)
        },
        "cpu_seconds": round(seconds),
    }


def main() -> None:
    """Print what comes out, and write the record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", help="file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rate = images_per_second()
    print(f"{rate:.0f} images per second")
    lines = linear(0.5)
    print("logistic regression:", lines, flush=True)
    runs = []
    for seed in args.seeds:
        runs.append(convolutional(seed))
        print("network:", runs[-1], flush=True)
    names = ("numpy", "torch", "scikit-learn")
    record = {
        "what": "road signs of 32x32 pixels at difficulty 0.5: test accuracy of two kinds of model",
        "command": f"python benchmarks/road_signs_data.py --seeds {' '.join(map(str, args.seeds))} "
        "--json data/measured/road_signs_data.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: metadata.version(name) for name in names},
        "images_per_second_of_one_core": round(rate),
        "test_images": TEST_IMAGES,
        "linear": {"training_images": LINEAR_IMAGES, "accuracy_by_penalty_C": lines},
        "network": {
            "training_images": CNN_IMAGES,
            "parameters": sum(p.numel() for p in network(0).parameters()),
            "training": {**CONFIG, "batch": BATCH},
            "seeds": args.seeds,
            "runs": runs,
            "accuracy_mean": round(float(np.mean([run["accuracy"] for run in runs])), 4),
        },
    }
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            f.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
