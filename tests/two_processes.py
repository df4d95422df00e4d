"""What two processes do together; test_distributed.py starts it with torchrun.

python -m torch.distributed.run --standalone --nproc-per-node 2 tests/two_processes.py FOLDER
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from cnnlib.pytorch import data, distributed, train_state
from cnnlib.pytorch.evaluate import evaluate
from cnnlib.pytorch.train import TrainConfig, fit

COUNT = 45  # not a multiple of any batch here
EQUAL = TrainConfig(
    epochs=3, lr=0.1, schedule="cosine", accumulate=2, clip_norm=0.3, label_smoothing=0.1
)


def examples(dtype: torch.dtype) -> TensorDataset:
    """Small images of two classes."""
    x = torch.randn(COUNT, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return TensorDataset(x, (x[:, 0, :3].sum((1, 2)) > 0).long())


def network(dtype: torch.dtype, *more: nn.Module) -> nn.Module:
    """Convolution, whatever is wanted, dense layer."""
    torch.manual_seed(5)
    layers = [nn.Conv2d(1, 3, 3), *more, nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)]
    return nn.Sequential(*layers).to(dtype)


def equality(loader: str, dtype: torch.dtype, batch: int, dropped: int = 0) -> dict[str, Any]:
    """The training that must not depend on the number of processes, for the same batch in all."""
    model, chosen = network(dtype), examples(dtype)
    if dropped:
        chosen = torch.utils.data.Subset(chosen, range(COUNT - dropped))  # type: ignore[assignment]
    if loader == "torch":
        train: Any = DataLoader(chosen, batch, shuffle=True)
    else:
        train = data.loader(chosen, batch, shuffle=True, seed=4)
    history = fit(model, train, DataLoader(chosen, 4), EQUAL, device="cpu", progress=False)
    return {"weights": model.state_dict(), "rows": history.rows}


class Told(Dataset):
    """Remembers which examples it was asked for."""

    def __init__(self, dataset: Any):
        self.dataset, self.asked, self.seed = dataset, list[int](), 0

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        self.asked.append(index)
        self.seed = torch.initial_seed()
        return self.dataset[index]


def who_sees_what(us: distributed.Processes) -> dict[str, Any]:
    """The examples that each process is given, and the sums of all."""
    train, val = Told(examples(torch.float64)), Told(examples(torch.float64))
    model = network(torch.float64, nn.BatchNorm2d(3), nn.Dropout(0.3))
    loader = DataLoader(val, 4)
    fit(model, DataLoader(train, 4, shuffle=True), loader, TrainConfig(epochs=1), device="cpu",
        progress=False)  # fmt: skip
    part = evaluate(model, distributed.shard(loader, us, even=False))
    whole = evaluate(model, DataLoader(val.dataset, 4))
    return {
        "train": distributed.gather(train.asked),
        "seeds": distributed.gather(train.seed),
        "val": distributed.gather(val.asked[: len(val.asked) // 2]),
        "evaluations": distributed.gather(
            [(e.loss, e.accuracy, e.examples) for e in (part, whole)]
        ),
        "buffers": distributed.gather(model[1].running_mean.tolist()),
        "weights": distributed.gather(model[0].weight.detach().tolist()),
    }


def without_validation() -> dict[str, Any]:
    """The running statistics of the last step, which every process has of other examples."""
    model = network(torch.float64, nn.BatchNorm2d(3))
    loader = DataLoader(examples(torch.float64), 4, shuffle=True)
    fit(model, loader, None, TrainConfig(epochs=1), device="cpu", progress=False)
    return {"buffers": distributed.gather(model[1].running_mean.tolist())}


def decisions(us: distributed.Processes) -> dict[str, Any]:
    """Rank 1 measures better and better losses, rank 0 worse: they must stop together."""
    rounds = {"n": 0}
    honest = train_state.TrainState.end_epoch

    def biased(self: Any, row: dict[str, Any]) -> None:
        rounds["n"] += 1
        honest(self, {**row, "val_loss": rounds["n"] * (1 if us.first else -1)})

    train_state.TrainState.end_epoch = biased  # type: ignore[method-assign]
    try:
        chosen = examples(torch.float64)
        config = TrainConfig(epochs=9, patience=3, schedule="plateau", plateau_patience=0)
        history = fit(network(torch.float64), DataLoader(chosen, 8), DataLoader(chosen, 8), config,
                      device="cpu", progress=False)  # fmt: skip
    finally:
        train_state.TrainState.end_epoch = honest  # type: ignore[method-assign]
    return {"rows": distributed.gather([history.rows, history.stopped_early])}


def resumed(folder: Path) -> dict[str, Any]:
    """Stopped after two epochs of four, and taken up again: the same as without a stop."""
    calls = []

    def copy(row: dict[str, Any]) -> None:
        calls.append(row["epoch"])
        if row["epoch"] == 2:
            shutil.copytree(folder / "a", folder / "b")

    ends = []
    for name, callback in (("a", copy), ("b", None)):
        model = network(torch.float32, nn.BatchNorm2d(3), nn.Dropout(0.5))
        chosen, config = examples(torch.float32), TrainConfig(epochs=4, restore_best=True)
        loaders = DataLoader(chosen, 4, shuffle=True), DataLoader(chosen, 4)
        fit(model, *loaders, config, folder=folder / name, resume=True, device="cpu",
            progress=False, on_epoch_end=callback)  # fmt: skip
        ends.append(distributed.gather(torch.cat([p.flatten() for p in model.parameters()])))
    return {"ends": ends, "calls": distributed.gather(calls)}


def error(call: Any) -> str:
    """The message of a ValueError."""
    try:
        call()
    except ValueError as problem:
        return str(problem)
    return "no error"


def errors(us: distributed.Processes) -> list[str]:
    """What several processes cannot do."""
    chosen, model = examples(torch.float32), network(torch.float32, nn.BatchNorm2d(3))
    loader, config = DataLoader(chosen, 4), TrainConfig(sync_batchnorm=True)
    part = distributed.shard(loader, us, even=False)
    ready = torch.utils.data.DistributedSampler(chosen)
    return [
        error(lambda: fit(model, loader, config=config, device="cpu", progress=False)),
        error(lambda: fit(model, [(chosen[0])], device="cpu", progress=False)),
        error(lambda: evaluate(model, part, keep_logits=True)),
        error(lambda: fit(model, DataLoader(chosen, 4, sampler=ready), device="cpu")),
    ]


def main(folder: Path) -> None:
    """Do all of it; rank 0 writes down what came out."""
    torch.set_num_threads(1)
    us = distributed.start("cpu")
    result = {
        "group": [us.rank, us.world, torch.distributed.get_backend()],
        "float64": equality("torch", torch.float64, 4),
        "cnnlib": equality("cnnlib", torch.float32, 4),
        "one left": equality("torch", torch.float64, 4, dropped=4),
        "seen": who_sees_what(us),
        "alone": without_validation(),
        "decisions": decisions(us),
        "resumed": resumed(folder),
        "errors": errors(us),
    }
    if us.first:
        torch.save(result, folder / "result.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
