"""Train plain and residual nets of 8, 20 and 56 layers from five seeds and record their losses.

python benchmarks/plain_and_residual.py [--json data/measured/plain_and_residual.json]

Chapter 10 does the same from one seed; the bands of its verdict come from here. One more seed is
trained five times as long, to see whether the deep plain net only needs time.
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

import torch
from torch.nn import functional as F

from cnnlib import datasets
from cnnlib.pytorch import models

SEEDS = [0, 1, 2, 3, 4]
DEPTHS = [8, 20, 56]
KINDS = ["plain", "residual"]
STEPS, LONG, LAST, BATCH, LR, MOMENTUM, WIDTH = 120, 600, 30, 64, 0.05, 0.9, 8
MARGIN = 0.25  # of the band, on each side


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """The 8x8 training digits with mean 0 and variance 1, and their labels."""
    data = datasets.digits(8)
    x = torch.tensor(data.x_train)
    return (x - x.mean()) / x.std(), torch.tensor(data.y_train)


def losses(kind: str, depth: int, seed: int, steps: int = STEPS) -> list[float]:
    """The training loss of every step."""
    x, y = digits()
    torch.manual_seed(seed)
    net = models.build(f"{kind}_net", classes=10, depth=depth, width=WIDTH, in_channels=1)
    optimizer = torch.optim.SGD(net.parameters(), LR, momentum=MOMENTUM)
    found = []
    for _ in range(steps):
        i = torch.randint(len(x), (BATCH,))
        loss = F.cross_entropy(net(x[i]), y[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def final(kind: str, depth: int, seed: int, steps: int = STEPS) -> float:
    """Mean loss of the last steps."""
    last = losses(kind, depth, seed, steps)[-LAST:]
    return round(sum(last) / len(last), 4)


def band(values: list[float]) -> list[float]:
    """From a quarter below the lowest to a quarter above the highest."""
    return [round(min(values) * (1 - MARGIN), 3), round(max(values) * (1 + MARGIN), 3)]


def main() -> None:
    """Print a table, and write the record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="file to write")
    args = parser.parse_args()
    table = {
        f"{kind} {depth}": [final(kind, depth, seed) for seed in SEEDS]
        for depth in DEPTHS
        for kind in KINDS
    }
    for name, values in table.items():
        print(f"{name:12s}", *(f"{v:7.3f}" for v in values), " band", band(values), flush=True)
    longer = {
        f"{kind} {depth}": final(kind, depth, 0, LONG) for depth in DEPTHS[1:] for kind in KINDS
    }
    print(f"after {LONG} steps, seed 0:", longer)
    record: dict[str, Any] = {
        "what": f"training loss of chapter 10's nets on 8x8 digits, mean of the last {LAST} steps",
        "command": "python benchmarks/plain_and_residual.py "
        "--json data/measured/plain_and_residual.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {n: metadata.version(n) for n in ("numpy", "torch", "scikit-learn")},
        "training": {
            "steps": STEPS,
            "batch": BATCH,
            "lr": LR,
            "momentum": MOMENTUM,
            "width": WIDTH,
        },
        "seeds": SEEDS,
        "losses": table,
        "band": {name: band(values) for name, values in table.items()},
        "long": {"steps": LONG, "seed": 0, "losses": longer},
    }
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            f.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
