"""What does one training image cost before the network sees it, in processor time?

python benchmarks/input_pipeline.py [--json data/measured/input_pipeline.json]

Photographs of scikit-learn, 427 x 640 pixels, are stored as JPEG files. Each stage of the usual
pipeline is clocked alone, in seconds of processor time (not of the clock on the wall, so that
other programs matter little), in turns, and the best of several rounds counts.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import v2

from cnnlib.pytorch.data import IMAGENET_MEAN, IMAGENET_STD

IMAGES, ROUNDS = 16, 7


def photographs() -> list[Image.Image]:
    """Both photographs, mirrored, shifted and darkened into sixteen different ones."""
    made = []
    for k in range(IMAGES):
        x = load_sample_images().images[k % 2][:, :: -1 if k % 4 > 1 else 1]
        x = np.roll(x, 40 * k, axis=1) * (1 - 0.03 * k)
        made.append(Image.fromarray(x.astype(np.uint8)))
    return made


def jpeg(image: Image.Image) -> bytes:
    """The bytes of a JPEG file, quality 90."""
    file = io.BytesIO()
    image.save(file, "jpeg", quality=90)
    return file.getvalue()


def decode(data: bytes) -> Image.Image:
    """Pixels from the bytes of a file."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def measure(stages: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Milliseconds of processor time per image and stage, the best of the rounds."""
    best = dict.fromkeys(stages, float("inf"))
    for _ in range(ROUNDS):
        for name, stage in stages.items():
            start = time.process_time()
            stage()
            best[name] = min(best[name], (time.process_time() - start) / IMAGES * 1e3)
    return {name: float(f"{ms:.3g}") for name, ms in best.items()}


def main() -> None:
    """Print a table, and write the record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    images = photographs()
    files = [jpeg(image) for image in images]
    small = [jpeg(image.resize((384, 256))) for image in images]
    crop = v2.RandomResizedCrop(224, antialias=True)
    flip = v2.RandomHorizontalFlip()
    to_tensor = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    normalise = v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)
    cropped = [crop(image) for image in images]
    tensors = [to_tensor(image) for image in cropped]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k}.jpg" for k in range(IMAGES)]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        stages: dict[str, Callable[[], Any]] = {
            "read the file": lambda: [path.read_bytes() for path in paths],
            "decode JPEG": lambda: [decode(data) for data in files],
            "crop and resize to 224": lambda: [crop(image) for image in images],
            "mirror": lambda: [flip(image) for image in cropped],
            "to a float tensor": lambda: [to_tensor(image) for image in cropped],
            "normalise": lambda: [normalise(x) for x in tensors],
            "stack the batch": lambda: torch.stack(tensors),
            "decode JPEG, stored at 256": lambda: [decode(data) for data in small],
        }
        result = measure(stages)
    for name, ms in result.items():
        print(f"{name:28s} {ms:8.3f} ms")
    record = {
        "what": "processor time per image of each stage of the input pipeline, one core",
        "command": "python benchmarks/input_pipeline.py --json data/measured/input_pipeline.json",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {n: metadata.version(n) for n in ("torch", "torchvision", "pillow", "numpy")},
        "images": {"count": IMAGES, "pixels": [427, 640], "rounds": ROUNDS,
                   "bytes": round(float(np.mean([len(f) for f in files])))},
        "milliseconds": result,
    }  # fmt: skip
    if args.json:
        Path(args.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
