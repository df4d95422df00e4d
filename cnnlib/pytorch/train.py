"""Training a classifier: one loop for CPU and CUDA, for one process and for torchrun's many."""

import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from cnnlib.pytorch import distributed
from cnnlib.pytorch.evaluate import Evaluation, evaluate, forward, predict_logits
from cnnlib.pytorch.history import History
from cnnlib.pytorch.order import fixed_order
from cnnlib.pytorch.random_state import seed_everything, unchanged_random_state
from cnnlib.pytorch.train_config import TrainConfig
from cnnlib.pytorch.train_state import TrainState

__all__ = ["Evaluation", "History", "TrainConfig", "evaluate", "fit", "predict_logits"]

logger = logging.getLogger(__name__)
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def fit(
    model: nn.Module,
    train_loader: Any,
    val_loader: Iterable | None = None,
    config: TrainConfig | None = None,
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    device: Any = None,
    parameters: Iterable[dict[str, Any]] | Iterable[nn.Parameter] | None = None,
    loss: Loss | None = None,
    progress: bool = True,
    on_epoch_end: Callable[[dict[str, Any]], Any] | None = None,
) -> History:
    """Train a classifier; afterwards it is in evaluation mode.

    The order of the examples in an epoch is a function of ``config.seed`` and the epoch alone; of
    a loader from :func:`cnnlib.pytorch.data.loader`, which has a ``seed`` of its own for order and
    augmentation, a function of that one: give it the same. The caller's random generators are left
    as they were.

    With a folder, ``last.pt`` (everything that is needed to go on) is replaced after every epoch
    and ``best.safetensors`` (weights) after every best one. A training that was killed, at any
    moment, goes on with ``resume=True``, and on a CPU ends bit for bit as if nothing had happened.
    For that the same data have to be given again, and what a random transform draws must not
    depend on earlier epochs: take :func:`cnnlib.pytorch.data.loader`, or a DataLoader without
    ``persistent_workers``; and the first, too, with ``persistent_workers=False`` where workers
    draw from Python's or NumPy's generators instead of torch's.

    Under torchrun each process calls this with the same arguments and gets its share of every
    loader, see :func:`cnnlib.pytorch.distributed.shard`. The loader's batch size is the one of a
    process; all processes must see the folder.

    Args:
        model: The network, (N, ...) to logits (N, classes). It is trained in place, on ``device``.
        train_loader: Yields batches x (N, ...), labels (N,) or shares (N, classes); has a length.
        val_loader: The same for the data that are only measured; None to do without.
        config: The options; ``TrainConfig()`` if None.
        folder: Where the files go; None for no files.
        resume: Go on where the folder's ``last.pt`` ends; start anew if there is none.
        device: Where to compute; a CUDA device if there is one, else the CPU, if None. Under
            torchrun ``"cuda"`` is a device of its own for each process.
        parameters: What to train, or parameter groups with an ``lr`` and ``weight_decay`` of their
            own; all parameters that require a gradient if None.
        loss: From logits (N, classes) and labels to losses (N,); cross-entropy if None. Validation
            always measures plain cross-entropy.
        progress: Whether to show a bar.
        on_epoch_end: Called after each epoch with its row of the history, in the first process.

    Returns:
        One row per epoch.

    Raises:
        ValueError: If there is nothing to train, a loader is empty, a label fits no class, an
            option needs validation data that are not there, or the folder holds another training.
    """
    config = config or TrainConfig()
    processes = distributed.start(device)
    device = distributed.chosen_device(device, processes)
    train_loader = distributed.shard(train_loader, processes, even=True)
    if val_loader is not None:
        _check_not_empty(val_loader)
        val_loader = distributed.shard(val_loader, processes, even=False)
    loss = loss or _cross_entropy(config)
    if device.type == "cuda":
        torch.cuda.init()  # its generators cannot be read, and put back, before
    with unchanged_random_state():
        state = TrainState(model, train_loader, val_loader, config, processes, device, parameters)
        seed_everything(config.seed, processes.rank)
        state.open(folder, resume)
        with _bar(progress and processes.first, state) as bar:
            while state.epoch < config.epochs and not state.history.stopped_early:
                start = time.perf_counter()
                with fixed_order(train_loader, config.seed, state.epoch, processes.rank):
                    lr, train_loss, train_accuracy = _train_epoch(state, train_loader, loss, bar)
                val = _validate(state, val_loader)
                row = {
                    "epoch": state.epoch + 1,
                    "lr": lr,
                    "train_loss": train_loss,
                    "train_accuracy": train_accuracy,
                    "val_loss": val.loss if val else None,
                    "val_accuracy": val.accuracy if val else None,
                    "seconds": time.perf_counter() - start,
                }
                state.end_epoch(row)
                if on_epoch_end and processes.first:
                    with unchanged_random_state():
                        on_epoch_end(row)
        state.close()
    return state.history


def _check_not_empty(val_loader: Any) -> None:
    """Now, not after the first epoch; a loader without a length has to show when its turn comes."""
    if length_hint(val_loader, 1) == 0:
        raise ValueError("fit: the validation loader has no batch")


def _train_epoch(state: TrainState, loader: Any, loss: Loss, bar: Any) -> tuple[float, ...]:
    """One pass over the training set: the last learning rate, the mean loss, the accuracy."""
    state.model.train()
    sums = distributed.zeros(3, state.device)  # loss, right, examples
    step = state.epoch * state.steps_per_epoch
    lr = 0.0
    for group in _groups(loader, state.config.accumulate):
        lr = state.schedule.apply(state.optimizer, step)
        sums += _train_step(state, group, loss)
        step += 1
        bar.update()
    distributed.add_up(sums)
    total, right, examples = sums.tolist()
    if not examples:
        raise ValueError("fit: the training loader has no example")
    if total != total:
        logger.warning("the training loss is not a number any more: lower the learning rate")
    return lr, total / examples, right / examples


def _train_step(state: TrainState, group: list, loss: Loss) -> torch.Tensor:
    """One optimiser step from one or several batches; sums of loss, right answers, examples."""
    sums = distributed.zeros(3, state.device)
    # DDP divides the sum of the processes' gradients by their number: multiply by it, and divide
    # by the examples of all batches and processes, and each example has the same weight.
    examples = distributed.zeros(1, state.device) + sum(len(labels) for _, labels in group)
    share = state.processes.world / distributed.add_up(examples)
    state.optimizer.zero_grad()
    for i, (x, labels) in enumerate(group):
        alone = state.processes.world == 1 or i + 1 == len(group)
        with nullcontext() if alone else state.network.no_sync():
            logits, labels = forward(state.network, x, labels, state.device, state.config.precision)
            losses = loss(logits.float() if logits.itemsize < 4 else logits, labels)  # (N,)
            if losses.shape != labels.shape[:1]:
                raise ValueError(
                    f"fit: loss must give one value per example, ({len(labels)},), got "
                    f"{tuple(losses.shape)}: torch's losses do with reduction='none'"
                )
            total = losses.sum()
            state.scaler.scale(total * share.to(total.device, total.dtype)[0]).backward()
        truth = labels.argmax(1) if labels.ndim == 2 else labels
        right = (logits.argmax(1) == truth).sum()
        sums += torch.stack([total.detach(), right, right.new_tensor(len(labels))]).to(sums)
    _update(state)
    return sums


def _update(state: TrainState) -> None:
    """Clip the gradient, take the step."""
    if state.config.clip_norm is not None:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.trained, state.config.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()


def _groups(loader: Iterable, size: int) -> Iterator[list]:
    """The batches of each step; the last group may be smaller."""
    batches = iter(loader)
    while group := list(islice(batches, size)):
        yield group


def _validate(state: TrainState, loader: Iterable | None) -> Evaluation | None:
    if loader is None:
        return None
    distributed.same_buffers(state.model)
    with fixed_order(loader, state.config.seed, 0, state.processes.rank):
        return evaluate(state.model, loader, device=state.device, precision=state.config.precision)


def _cross_entropy(config: TrainConfig) -> Loss:
    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if labels.ndim == 2:
            labels = labels.to(logits.dtype)
        smoothing = config.label_smoothing
        return F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)

    return loss


class _NoBar:
    """A progress bar that shows nothing."""

    def __enter__(self) -> "_NoBar":
        return self

    def __exit__(self, *_: Any) -> None:
        """Nothing to close."""

    def update(self) -> None:
        """Nothing to show."""


def _bar(wanted: bool, state: TrainState) -> Any:
    """A bar over all steps, for notebook or terminal; TQDM_DISABLE=1 hides it."""
    if not wanted:
        return _NoBar()
    with warnings.catch_warnings():  # in a kernel without widgets the plain bar will do
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    steps = state.steps_per_epoch
    return tqdm(total=state.config.epochs * steps, initial=state.epoch * steps, unit="step")
