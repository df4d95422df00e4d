"""Learning-rate schedules: by which factor the rate is multiplied at each step of a training."""

import math
from typing import Any

from torch.optim import Optimizer

from cnnlib.pytorch.train_config import TrainConfig


class Schedule:
    r"""The factor of the learning rate, from 0 to 1, for every optimiser step.

    With :math:`t` the epochs done so far (a fraction within an epoch), :math:`w` the epochs of
    warm-up and :math:`T` all epochs:

    .. math::
        \text{warm-up } (t < w): \frac{t + 1/n}{w}, \quad
        \text{step}: \gamma^{\lfloor t / s \rfloor}, \quad
        \text{cosine}: \frac12 \left(1 + \cos \pi \frac{t - w}{T - w}\right)

    where :math:`n` is the number of steps in an epoch. Only ``"plateau"`` has a memory: it
    multiplies by gamma when :meth:`epoch_end` has seen no improvement for longer than its
    patience.

    Args:
        config: What kind, and its numbers.
        steps_per_epoch: Optimiser steps in an epoch, n.

    Source: cosine: Loshchilov and Hutter (2017), equation 5; warm-up: Goyal et al. (2017),
    section 2.2; plateau and step: torch's ReduceLROnPlateau and StepLR.
    """

    def __init__(self, config: TrainConfig, steps_per_epoch: int):
        if steps_per_epoch < 1:
            raise ValueError(f"Schedule: an epoch has at least 1 step, got {steps_per_epoch}")
        self.config, self.steps_per_epoch = config, steps_per_epoch
        self.plateau: dict[str, Any] = {"factor": 1.0, "best": None, "bad_epochs": 0}

    def factor(self, step: int) -> float:
        """The factor for a step, counted from 0 over the whole training."""
        config = self.config
        done = step / self.steps_per_epoch  # t
        warm = config.warmup * self.steps_per_epoch
        if step < warm:
            return min(1.0, (step + 1) / warm)
        if config.schedule == "step":
            # A whole division: a quotient of floats could fall just short of the epoch.
            return config.gamma ** (step // (config.step_size * self.steps_per_epoch))
        if config.schedule == "cosine":
            left = config.epochs - config.warmup
            return 0.5 * (1 + math.cos(math.pi * (done - config.warmup) / left)) if left else 1.0
        return self.plateau["factor"]

    def apply(self, optimizer: Optimizer, step: int) -> float:
        """Set every parameter group's rate for this step; return the largest."""
        factor = self.factor(step)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        return max(group["lr"] for group in optimizer.param_groups)

    def epoch_end(self, value: float | None) -> None:
        """Tell ``"plateau"`` the value of an epoch, the smaller the better; others ignore it."""
        if self.config.schedule != "plateau" or value is None:
            return
        memory = self.plateau
        best = memory["best"]
        if value < (math.inf if best is None else best - self.config.min_delta):
            memory.update(best=value, bad_epochs=0)
        else:
            memory["bad_epochs"] += 1
        if memory["bad_epochs"] > self.config.plateau_patience:
            memory.update(factor=memory["factor"] * self.config.gamma, bad_epochs=0)

    def state_dict(self) -> dict[str, Any]:
        """The memory, for a checkpoint."""
        return dict(self.plateau)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the memory of a checkpoint."""
        self.plateau = dict(state)
