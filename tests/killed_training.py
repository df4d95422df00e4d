"""A training that kills itself with SIGKILL at given points; test_checkpoint.py runs it.

python tests/killed_training.py FOLDER POINT...

For each point a new process goes on with the training in the folder, and dies there. Prints each
point, the exit status and the epochs that the folder's checkpoint then holds.

A POINT is ``batch:N`` (in the N-th batch), ``writing:N`` (half of the N-th checkpoint is on the
disk), ``named:N`` (the N-th file is complete, but has its temporary name), ``renamed:N`` (just
after the N-th renaming) or ``never``. Each process counts from 1.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from cnnlib.pytorch import checkpoint
from cnnlib.pytorch.train import TrainConfig, fit

CONFIG = TrainConfig(
    epochs=5, lr=0.05, schedule="cosine", warmup=1, accumulate=2, clip_norm=2.0, patience=4
)


def die() -> None:
    """End at once: no clean-up runs."""
    if hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(9)  # Windows has no SIGKILL


class Noisy(Dataset):
    """Forty small images, each time with other noise from each of three generators."""

    def __init__(self, noise: float):
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(40, 1, 6, 6, generator=generator)
        self.y = (self.x[:, 0, :3].sum((1, 2)) > 0).long()
        self.noise = noise

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        drawn = random.random() + np.random.rand() + float(torch.rand(()))  # noqa: NPY002
        return self.x[index] + self.noise * drawn, self.y[index]


def network() -> nn.Module:
    """With everything that has a memory: weights, running statistics, dropout's generator."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(),
        nn.Linear(48, 2),
    )  # fmt: skip


def training(folder: Any, model: nn.Module, **options: Any) -> Any:
    """The training, from its start or from where the folder stands."""
    train = DataLoader(Noisy(0.3), 7, shuffle=True)
    val = DataLoader(Noisy(0.0), 16)
    options = {"resume": True, "device": "cpu", "progress": False, **options}
    return fit(model, train, val, CONFIG, folder=folder, **options)


def arm(point: str) -> None:
    """Prepare the kill."""
    kind, _, count = point.partition(":")
    seen = {"batch": 0, "writing": 0, "named": 0, "renamed": 0}

    def reached(here: str) -> bool:
        seen[here] += 1
        return here == kind and seen[here] == int(count)

    forward, save, replace = nn.BatchNorm2d.forward, checkpoint.torch.save, os.replace

    def patched_forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        if self.training and reached("batch"):
            die()
        return forward(self, x)

    def patched_save(state: Any, file: Any) -> None:
        save(state, file)
        if reached("writing"):
            file.truncate(file.tell() // 2)
            file.flush()
            die()

    def patched_replace(source: Any, target: Any) -> None:
        if reached("named"):
            die()
        replace(source, target)
        if reached("renamed"):
            die()

    nn.BatchNorm2d.forward = patched_forward  # type: ignore[method-assign]
    checkpoint.torch.save = patched_save  # type: ignore[assignment]
    os.replace = patched_replace  # type: ignore[assignment]


def victim(folder: str, point: str) -> int:
    """The exit status of a process that trains and is killed."""
    if sys.platform != "linux":
        return subprocess.call([sys.executable, __file__, "--victim", folder, point])
    child = os.fork()  # as good as a new process, but torch is imported already
    if not child:
        arm(point)
        training(folder, network())
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "--victim":
        arm(sys.argv[3])
        training(sys.argv[2], network())
        sys.exit()
    training(None, network(), resume=False)  # the first imports much that the children then have
    for name in sys.argv[2:]:
        status = victim(sys.argv[1], name)
        last = Path(sys.argv[1]) / "last.pt"
        print(name, status, checkpoint.load(last)["epoch"] if last.is_file() else 0, flush=True)
