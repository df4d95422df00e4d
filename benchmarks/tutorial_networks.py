"""Train the tutorials' networks of chapter 10, mended, on road signs read from class folders.

python benchmarks/tutorial_networks.py [--json data/measured/tutorial_networks.json]

Each learns for ten epochs: the first two with Adam, the others as their tutorials say with SGD and
a rate of 0.001, and also with ten times that; two seeds for signs, weights and order. --jobs 2
trains two at a time, each with one thread, so that the results are the same. Each is written at
once: started again with the same file, settings and versions, the script does what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from jobs import in_order
from PIL import Image

from cnnlib import datasets
from cnnlib.pytorch import data, models
from cnnlib.pytorch.train import TrainConfig, evaluate, fit

SEEDS = [0, 1]
COUNTS = {"train": 700, "val": 280, "test": 700}
# The tutorials' 256 and 224 pixels, made smaller; less than 85 is too little for simple_cnn.
SIZE, DRAWN = 88, 101
BATCH = 32
ADAM: dict[str, Any] = {"optimizer": "adam", "lr": 0.001}
SGD: dict[str, Any] = {"optimizer": "sgd", "lr": 0.001, "nesterov": False}
STEPS: dict[str, Any] = {**SGD, "schedule": "step", "step_size": 7}
SHARED: dict[str, Any] = {"epochs": 10, "weight_decay": 0.0}
RUNS: dict[str, dict[str, Any]] = {
    "small_cnn": {"network": "small_cnn", **ADAM},
    "imagenet_cnn": {"network": "imagenet_cnn", **ADAM},
    "simple_cnn": {"network": "simple_cnn", **SGD},
    "simple_cnn, 0.01": {"network": "simple_cnn", **SGD, "lr": 0.01},
    "case_study_cnn": {"network": "case_study_cnn", "augmented": True, **STEPS},
    "case_study_cnn, 0.01": {"network": "case_study_cnn", "augmented": True, **STEPS, "lr": 0.01},
}


def draw(root: Path, seed: int) -> None:
    """Write the signs of a seed as PNG files in root/<split>/<class>/."""
    for split, count in COUNTS.items():
        signs = datasets.road_signs(count, seed, size=DRAWN, split=split, dtype=np.uint8)
        for i, (pixels, label) in enumerate(zip(signs.x, signs.y, strict=True)):
            folder = root / split / datasets.ROAD_SIGNS[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f"{i:04}.png")


def train(root: Path, seed: int, run: dict[str, Any]) -> dict[str, Any]:
    """Accuracy on the test signs of one of RUNS, and the accuracies of each epoch."""
    options = {k: v for k, v in run.items() if k not in ("network", "augmented")}
    plain = data.eval_transform(SIZE)
    seen = plain
    if run.get("augmented"):
        seen = data.train_transform(SIZE, scale=(0.6, 1), flip=False, rotation=10, colour=0.3)
    transforms = {"train": seen, "val": plain, "test": plain}
    parts = {s: data.image_folder(root / s, transforms[s], check=False) for s in COUNTS}
    torch.manual_seed(seed)
    size = (3, SIZE, SIZE)
    net = models.build(run["network"], classes=len(datasets.ROAD_SIGNS), input_size=size)
    history = fit(
        net,
        data.loader(parts["train"], BATCH, shuffle=True, seed=seed),
        data.loader(parts["val"], 70),
        TrainConfig(seed=seed, **SHARED, **options),
        device="cpu",
        progress=False,
    )
    test = evaluate(net, data.loader(parts["test"], 70), device="cpu")
    return {
        "test_accuracy": round(test.accuracy, 4),
        "train_accuracy": [round(a, 4) for a in history["train_accuracy"]],
        "val_accuracy": [round(a, 4) for a in history["val_accuracy"]],
    }


def main() -> None:
    """Print each result, and write the record if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", help="file to write, and to go on from")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.device("meta"):
        sizes = {
            name: sum(p.numel() for p in models.build(
                options["network"], classes=len(datasets.ROAD_SIGNS), input_size=(3, SIZE, SIZE)
            ).parameters())
            for name, options in RUNS.items()
        }  # fmt: skip
    record: dict[str, Any] = {
        "what": "accuracy of chapter 10's networks from tutorials, mended, on road signs",
        "command": "python benchmarks/tutorial_networks.py "
        "--json data/measured/tutorial_networks.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            n: metadata.version(n) for n in ("numpy", "torch", "torchvision", "scikit-learn")
        },
        "settings": {"size": SIZE, "drawn": DRAWN, "batch": BATCH, "images": COUNTS, **SHARED},
        "runs": RUNS,
        "seeds": SEEDS,
        "parameters": sizes,
        "results": {name: [] for name in RUNS},
    }
    path = Path(args.json) if args.json else None
    if path is not None and path.is_file():
        old = json.loads(path.read_text(encoding="utf-8"))
        same = ("versions", "settings", "runs", "seeds", "parameters")
        if all(old.get(key) == record[key] for key in same):
            record["results"] = old["results"]
    for k, seed in enumerate(SEEDS):
        missing = [name for name in RUNS if len(record["results"][name]) <= k]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as root:
            draw(Path(root), seed)
            runs = [(Path(root), seed, RUNS[name]) for name in missing]
            for name, result in zip(missing, in_order(train, runs, args.jobs), strict=True):
                record["results"][name].append(result)
                print(f"seed {seed}, {name:21} {result['test_accuracy']:.3f}", flush=True)
                if path is not None:
                    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
