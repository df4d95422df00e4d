"""Chapter 09's trainings from five seeds: what its verdicts may rely on.

python benchmarks/road_signs_training.py [--seeds 0 1 2 3 4] [--only PART ...] [--json FILE]

Ten minutes of one core. With --only some parts are measured again and the others stay as they are
in the file; no part depends on another one. The record says of each part when it was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from road_signs_experiment import Experiment

from cnnlib import datasets

PARTS = ("cures", "certain", "finder", "schedules", "batch_norm", "search", "all_together")


def main() -> None:
    """Print what each seed gives, and write the record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--json", help="file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    old: dict[str, Any] = {"runs": [], "measured": {}}
    if args.json and Path(args.json).exists() and set(args.only) != set(PARTS):
        old = json.loads(Path(args.json).read_text(encoding="utf-8"))
    runs = {seed: {"seed": seed} for seed in args.seeds}
    runs |= {run["seed"]: run for run in old["runs"]}
    if set(runs) != set(args.seeds):
        parser.error(f"{args.json} has seeds {sorted(runs)}; parts of one record need the same")
    for seed in args.seeds:
        experiment = Experiment(seed)
        for part in args.only:
            runs[seed][part] = getattr(experiment, part)()
            print(json.dumps({"seed": seed, part: runs[seed][part]}), flush=True)
    measured = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {n: metadata.version(n) for n in ("numpy", "torch", "torchvision")},
    }
    record = {
        "what": "chapter 09: small networks on road signs, each training from five seeds",
        "command": "python benchmarks/road_signs_training.py "
        "--json data/measured/road_signs_training.json",
        **measured,
        "classes": len(datasets.ROAD_SIGNS),
        "measured": old["measured"] | dict.fromkeys(args.only, measured),
        "runs": list(runs.values()),
    }
    if args.json and set(record["measured"]) == set(PARTS):
        record["worst"] = worst(record["runs"])
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
        "val_accuracy_of_nothing": max(b["val_accuracy"] for b in base),
        "accuracy_gained_by_more_data": round(
            min(r["cures"]["more data"]["val_accuracy"] - b["val_accuracy"]
                for b, r in zip(base, runs, strict=True)), 4),
        "accuracy_lost_by_early_stopping": round(
            min(b["val_accuracy"] - r["cures"]["early stopping"]["val_accuracy"]
                for b, r in zip(base, runs, strict=True)), 4),
        "finder_bottom": span(r["finder"]["bottom"] for r in runs),
        "finder_fall": min(r["finder"]["fall"] for r in runs),
        "finder_rise": min(r["finder"]["rise"] for r in runs),
        "loss_saved_by_cosine": round(
            min(r["schedules"]["constant"]["val_loss"] - r["schedules"]["cosine"]["val_loss"]
                for r in runs), 4),
        "training_loss_saved_by_batch_norm": round(
            min((r["batch_norm"]["without"]["train_loss"] or np.inf)
                - r["batch_norm"]["with"]["train_loss"] for r in runs), 4),
        "rate_over_decay": round(
            min(r["search"]["spread_over_rates"] / r["search"]["spread_over_decays"]
                for r in runs), 2),
        "temperature_of_nothing": span(r["certain"]["temperature"] for r in runs),
        "ece_left_by_temperature": max(
            round(r["certain"]["ece_calibrated"] / r["certain"]["ece"], 4) for r in runs),
        "accuracy_all_together": span(r["all_together"]["accuracy"] for r in runs),
        "mistakes_within_blocks": min(r["all_together"]["mistakes_within_blocks"] for r in runs),
        "lost_at_night": span(
            r["all_together"]["accuracy_by_day"] - r["all_together"]["accuracy_at_night"]
            for r in runs),
    }  # fmt: skip


def span(values: Iterable[float]) -> list[float]:
    """The least and the largest."""
    found = [round(v, 4) for v in values]
    return [min(found), max(found)]


if __name__ == "__main__":
    main()
