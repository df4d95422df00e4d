"""Train chapter 07's network from five seeds, by hand and with torch.nn, and record the accuracies.

python benchmarks/digits_cnn.py [--json data/measured/digits_cnn.json]

The band of the chapter's verdict comes from here: from the lowest of the five less one hundredth
up to 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from cnnlib import (
    SGD,
    Conv2d,
    CrossEntropyLoss,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    datasets,
    metrics,
)

SEEDS = [0, 1, 2, 3, 4]
SIZE, MOMENTUM = 32, 0.9
PHASES = [(10, 0.05), (4, 0.005)]  # epochs, learning rate
DATA = datasets.digits()


def network(seed: int) -> Sequential:
    """The network of the chapter."""
    rng = np.random.default_rng(seed)
    return Sequential(
        Conv2d(1, 8, 5, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(1152, 128, rng=rng),
        ReLU(),
        Linear(128, 10, rng=rng),
    )


def mini_batches(seed: int) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """Learning rate, images and labels of every step."""
    for phase, (epochs, lr) in enumerate(PHASES):
        rng = np.random.default_rng(seed + phase)
        for _ in range(epochs):
            for x, y in datasets.batches(DATA.x_train, DATA.y_train, SIZE, rng):
                yield lr, x, y


def by_hand(seed: int) -> float:
    """Test accuracy after training with cnnlib alone."""
    net, criterion = network(seed), CrossEntropyLoss()
    optimizer = SGD(net.parameters(), 0, momentum=MOMENTUM)
    for optimizer.lr, x, y in mini_batches(seed):
        criterion(net(x), y)
        net.zero_grad()
        net.backward(criterion.backward())
        optimizer.step()
    return metrics.accuracy(net(DATA.x_test), DATA.y_test)


def with_torch(seed: int) -> float:
    """The same with torch.nn and autograd, from the same weights and the same batches."""
    import torch

    from cnnlib.pytorch import bridge

    net = bridge.as_module(network(seed))
    optimizer = torch.optim.SGD(net.parameters(), 0, momentum=MOMENTUM)
    for lr, x, y in mini_batches(seed):
        optimizer.param_groups[0]["lr"] = lr
        loss = torch.nn.functional.cross_entropy(net(torch.tensor(x)), torch.tensor(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return metrics.accuracy(net(torch.tensor(DATA.x_test)).numpy(), DATA.y_test)


def main() -> None:
    """Print a table, and write the record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="file to write")
    args = parser.parse_args()
    ours = [by_hand(seed) for seed in SEEDS]
    theirs = [with_torch(seed) for seed in SEEDS]
    print("seed  by hand  torch.nn")
    for row in zip(SEEDS, ours, theirs, strict=True):
        print("{:4d}  {:.4f}   {:.4f}".format(*row))
    record: dict[str, Any] = {
        "what": "test accuracy of chapter 07's network on 360 held-out digits, float32",
        "command": "python benchmarks/digits_cnn.py --json data/measured/digits_cnn.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {n: metadata.version(n) for n in ("numpy", "torch", "scikit-learn")},
        "training": {"epochs_and_lr": PHASES, "batch": SIZE, "momentum": MOMENTUM},
        "seeds": SEEDS,
        "by_hand": [round(a, 4) for a in ours],
        "torch": [round(a, 4) for a in theirs],
        "band": [round(min(ours) - 0.01, 3), 1.0],
    }
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            f.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
