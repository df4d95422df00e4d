"""All that a training carries from epoch to epoch, and how it is saved and taken up again."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cnnlib.pytorch import checkpoint, distributed
from cnnlib.pytorch.distributed import Processes
from cnnlib.pytorch.history import History
from cnnlib.pytorch.random_state import random_state, set_random_state
from cnnlib.pytorch.schedules import Schedule
from cnnlib.pytorch.stages import synchronise_batchnorm
from cnnlib.pytorch.train_config import TrainConfig

KEYS = (
    "config", "run", "epoch", "model", "optimizer", "schedule", "scaler", "best", "history",
    "stopped_early", "random",
)  # fmt: skip
LAST, BEST = "last.pt", "best.safetensors"


class TrainState:
    """Model, optimiser, schedule, scaler, counters and history of one training.

    ``model`` is the network itself, whose names the files use; ``network`` is what a training step
    calls: the model, wrapped for several processes, compiled, or both.

    Args:
        model: The network; it is moved to the device.
        train_loader: Has a length.
        val_loader: Whether there is one decides what may be monitored.
        config: The options.
        processes: Who we are.
        device: Where to compute.
        parameters: As in :func:`cnnlib.pytorch.train.fit`.

    Raises:
        ValueError: If the options do not fit what is there.
    """

    def __init__(
        self,
        model: nn.Module,
        train_loader: Any,
        val_loader: Any,
        config: TrainConfig,
        processes: Processes,
        device: torch.device,
        parameters: Any = None,
    ):
        self.config, self.processes, self.device = config, processes, device
        batches = _length(train_loader)
        self.steps_per_epoch = -(-batches // config.accumulate)
        self.data = {"batches": batches, "examples": _examples(train_loader)}
        if val_loader is None:
            _need_no_validation(config)
        model.to(device)
        if config.channels_last:
            model.to(memory_format=torch.channels_last)
        self.model = self._synchronised(model)
        self.optimizer = make_optimizer(self.model, config, parameters)
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.schedule = Schedule(config, self.steps_per_epoch)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.network: Any = self._wrapped()
        self.epoch = 0
        self.history = History()
        self.best: dict[str, Any] = {"value": None, "epoch": 0, "bad_epochs": 0}
        self.best_weights: dict[str, torch.Tensor] | None = None
        self.folder: Path | None = None

    def _synchronised(self, model: nn.Module) -> nn.Module:
        if not self.config.sync_batchnorm or self.processes.world == 1:
            return model
        if self.device.type != "cuda":
            raise ValueError(
                f"fit: sync_batchnorm needs CUDA devices, this process computes on {self.device}"
            )
        return synchronise_batchnorm(model)

    def _wrapped(self) -> nn.Module:
        network = self.model
        if self.processes.world > 1:
            devices = [self.device] if self.device.type == "cuda" else None
            network = DistributedDataParallel(network, device_ids=devices)
        return torch.compile(network) if self.config.compile else network  # type: ignore[return-value]

    def open(self, folder: Any, resume: bool) -> None:
        """Choose the folder, and go on where the training in it stopped.

        Raises:
            ValueError: If the folder holds a training that is not to be resumed, or another one.
        """
        self.folder = Path(folder) if folder is not None else None
        if self.folder is None:
            if resume:
                raise ValueError("fit: resume needs the folder of the training")
            return
        path = self.folder / LAST
        there = distributed.gather(path.is_file())
        if len(set(there)) > 1:
            raise ValueError(f"fit: some processes see {path} and some do not: share the folder")
        if not there[0]:
            return
        if not resume:
            raise ValueError(
                f"fit: {path} holds a training already: resume it, or choose another folder"
            )
        self.load_state(checkpoint.load(path), str(path))
        if self.best["epoch"] == self.epoch and self.processes.first:
            # The kill may have come between the two files.
            checkpoint.save_weights(self.model, self.folder / BEST)

    def end_epoch(self, row: dict[str, Any]) -> None:
        """Enter a row; find out whether it is the best, and whether to stop; save."""
        # Sums may differ in the last bit between processes, decisions may not: all take rank 0's.
        row = distributed.agree(row)
        self.history.append(row)
        self.epoch += 1
        value = row[f"val_{self.config.monitor}"]
        if value is not None and self.config.monitor == "accuracy":
            value = -value  # from here on, smaller is better
        improved = self._improves(value)
        if improved and self.config.restore_best and self.folder is None:
            self.best_weights = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.schedule.epoch_end(value)
        patience = self.config.patience
        self.history.stopped_early = patience is not None and self.best["bad_epochs"] >= patience
        if self.folder is None:
            return
        state = self.state()
        if self.processes.first:
            checkpoint.save(state, self.folder / LAST)
            if improved:
                checkpoint.save_weights(self.model, self.folder / BEST)

    def _improves(self, value: float | None) -> bool:
        """Whether this is the best epoch so far; count the epochs since."""
        if value is None:
            return False
        best = self.best["value"]
        # A loss that is not a number compares as false: it never is an improvement.
        if value < (float("inf") if best is None else best - self.config.min_delta):
            self.best = {"value": value, "epoch": self.epoch, "bad_epochs": 0}
            return True
        self.best["bad_epochs"] += 1
        return False

    def close(self) -> None:
        """Leave the model as the configuration asks for."""
        distributed.same_buffers(self.model)  # without validation, nobody has done it yet
        self.model.eval()
        if not self.config.restore_best or not self.best["epoch"]:
            return
        if self.folder is not None:
            distributed.agree(None)  # rank 0 has written the file
            checkpoint.load_weights(self.model, self.folder / BEST)
        elif self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on, as a checkpoint can hold it."""
        return {
            "config": self.config.to_dict(),
            "run": self._run(),
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": dict(self.best),
            "history": self.history.rows,
            "stopped_early": self.history.stopped_early,
            "random": distributed.gather(random_state()),
        }

    def load_state(self, state: dict[str, Any], origin: str) -> None:
        """The inverse of :meth:`state`.

        Raises:
            ValueError: If the state belongs to another configuration, model or data set; then
                nothing has been changed.
        """
        missing = sorted(set(KEYS) - set(state))
        if missing:
            raise ValueError(f"fit: {origin} is no checkpoint of a training: no {missing[0]} in it")
        _check_same(origin, state["config"], self.config.to_dict())
        checkpoint.check_fits(self.model, state["model"], origin)
        _check_same(origin, state["run"], self._run())
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.best = state["epoch"], dict(state["best"])
        self.history = History(state["history"], stopped_early=state["stopped_early"])
        set_random_state(state["random"][self.processes.rank])

    def _run(self) -> dict[str, Any]:
        """What, beside configuration and model, has to be the same in a resumed training."""
        groups = self.optimizer.param_groups
        return {
            **self.data,
            "processes": self.processes.world,
            "parameters": [len(g["params"]) for g in groups],
            "rates": [g["initial_lr"] for g in groups],
            "decays": [g["weight_decay"] for g in groups],
            "device": self.device.type,
        }


def make_optimizer(
    model: nn.Module, config: TrainConfig, parameters: Iterable[Any] | None = None
) -> torch.optim.Optimizer:
    """The optimiser that a configuration names.

    Args:
        model: The network.
        config: Kind, rate, momentum and decay.
        parameters: Parameters or groups; those of the model that require a gradient if None.

    Raises:
        ValueError: If there is nothing to train.
    """
    chosen: list[Any] = list(model.parameters() if parameters is None else parameters)
    if chosen and not isinstance(chosen[0], dict):
        chosen = [{"params": chosen}]
    groups = [{**g, "params": [p for p in g["params"] if p.requires_grad]} for g in chosen]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ValueError("fit: no parameter requires a gradient: there is nothing to train")
    options: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        options.update(momentum=config.momentum, nesterov=nesterov)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    optimizer = kinds[config.optimizer](groups, **options)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def _length(loader: Any) -> int:
    try:
        batches = len(loader)
    except TypeError as error:
        raise ValueError("fit: the training loader needs a length") from error
    if batches < 1:
        raise ValueError("fit: the training loader has no batch")
    return batches


def _examples(loader: Any) -> int | None:
    dataset: Any = getattr(loader, "dataset", None)
    return len(dataset) if hasattr(dataset, "__len__") else None


def _need_no_validation(config: TrainConfig) -> None:
    wanted = {
        "patience": config.patience is not None,
        "restore_best": config.restore_best,
        "schedule 'plateau'": config.schedule == "plateau",
    }
    for name, on in wanted.items():
        if on:
            raise ValueError(f"fit: {name} needs a val_loader to judge the epochs by")


def _check_same(origin: str, there: dict[str, Any], here: dict[str, Any]) -> None:
    differ = [
        f"{name} was {there.get(name)!r}, is {here.get(name)!r}"
        for name in {**here, **there}
        if there.get(name) != here.get(name)
    ]
    if differ:
        raise ValueError(f"fit: {origin} belongs to another training: {'; '.join(differ)}")
