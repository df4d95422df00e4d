"""One training on several processes: who they are, who gets which examples, sums of all."""

import atexit
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, Sampler


@dataclass(frozen=True)
class Processes:
    """This process among those that train together: rank 0 of 1 unless torchrun started more."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0


def start(device: Any = None) -> Processes:
    """Join the other processes that torchrun started; alone, do nothing.

    torchrun sets WORLD_SIZE, RANK, LOCAL_RANK and the address where the processes meet. They talk
    by NCCL when they compute on CUDA devices, else by gloo. The first call joins, later ones only
    report; the group is left when the program ends.

    Args:
        device: Where this process will compute; CUDA if there is one, if None.

    Returns:
        Rank and number of the processes.

    Raises:
        ValueError: If torchrun started more processes on this machine than it has CUDA devices.
    """
    if world_size() == 1:
        return Processes()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if not dist.is_initialized():
        on_cuda = torch.device(device).type == "cuda" if device else torch.cuda.is_available()
        if on_cuda:
            if local >= torch.cuda.device_count():
                raise ValueError(
                    f"distributed: process {local} of this machine has no CUDA device of its own, "
                    f"there are {torch.cuda.device_count()}: lower --nproc-per-node"
                )
            torch.cuda.set_device(local)
        dist.init_process_group("nccl" if on_cuda else "gloo")
        atexit.register(_leave)
    return Processes(dist.get_rank(), dist.get_world_size(), local)


def world_size() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def default_device(processes: Processes) -> torch.device:
    """The CUDA device of this process, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", processes.local_rank if processes.world > 1 else 0)


def chosen_device(device: Any, processes: Processes) -> torch.device:
    """Where this process computes: as it was told, but each of several on a CUDA device of its own.

    Args:
        device: What the caller asks for; :func:`default_device` if None.
        processes: From :func:`start`.

    Raises:
        ValueError: If the caller names one CUDA device for several processes.
    """
    if device is None:
        return default_device(processes)
    device = torch.device(device)
    if processes.world == 1 or device.type != "cuda":
        return device
    if device.index not in (None, processes.local_rank):
        raise ValueError(
            f"distributed: {device} is not the device of process {processes.local_rank} of this "
            "machine: each takes its own, say 'cuda'"
        )
    return torch.device("cuda", processes.local_rank)


class ShardedBatches(Sampler):
    """This process's share of the batches of another batch sampler.

    The inner sampler has to give every process the same batches. W of them in a row, for W
    processes, make one large batch, and process r takes the r-th: the step that the processes take
    together is the one that a single process would take with batches W times as large. Where the
    last large batch is not full, its examples are dealt out evenly.

    Args:
        batches: A batch sampler, with a length.
        rank: This process.
        world: Number of processes, W.
        even: Every process gets equally many batches, as training needs. For that, fewer than W
            examples that are left at the very end are dropped. If False, as for validation, each
            example comes exactly once and some processes may get a batch more than others.
    """

    def __init__(self, batches: Any, rank: int, world: int, *, even: bool):
        self.batches, self.rank, self.world, self.even = batches, rank, world, even

    def __iter__(self) -> Iterator[list[int]]:
        group: list[list[int]] = []
        for batch in self.batches:
            group.append(list(batch))
            if len(group) == self.world:
                yield from self._share(group)
                group = []
        if group:
            yield from self._share(group)

    def _share(self, group: list[list[int]]) -> Iterator[list[int]]:
        if len(group) == self.world and (len({len(batch) for batch in group}) == 1):
            yield group[self.rank]
            return
        rest = [index for batch in group for index in batch]
        if self.even and len(rest) < self.world:
            return
        mine = np.array_split(np.arange(len(rest)), self.world)[self.rank]
        if len(mine):
            yield [rest[i] for i in mine]

    def __len__(self) -> int:
        sizes = [len(batch) for batch in self.batches]
        groups = [sizes[i : i + self.world] for i in range(0, len(sizes), self.world)]
        least = self.world if self.even else self.rank + 1
        return sum(sum(group) >= least for group in groups)


def shard(loader: Any, processes: Processes, *, even: bool) -> Any:
    """The same loader for this process's share of the examples; alone, the loader itself.

    Args:
        loader: A DataLoader over a data set with a length, alike in every process.
        processes: From :func:`start`.
        even: See :class:`ShardedBatches`: True for training, False for validation.

    Returns:
        A DataLoader with the same options.

    Raises:
        ValueError: If the loader is not a DataLoader with batches of indices, or is dealt out
            already.
    """
    if processes.world == 1 or is_sharded(loader):
        return loader
    if not isinstance(loader, DataLoader) or loader.batch_sampler is None:
        raise ValueError(
            "distributed: several processes need a DataLoader with batches over a data set with a "
            f"length, got {type(loader).__name__}"
        )
    if isinstance(loader.sampler, DistributedSampler):
        raise ValueError(
            "distributed: a DistributedSampler is in the way: pass an ordinary loader, its "
            "examples are dealt out here"
        )
    names = ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "generator",
             "multiprocessing_context", "prefetch_factor", "persistent_workers")  # fmt: skip
    batches = ShardedBatches(loader.batch_sampler, processes.rank, processes.world, even=even)
    options = {name: getattr(loader, name) for name in names}
    return DataLoader(loader.dataset, batch_sampler=batches, **options)


def is_sharded(loader: Any) -> bool:
    """Whether a loader came from :func:`shard` and covers a part only."""
    return isinstance(getattr(loader, "batch_sampler", None), ShardedBatches)


def zeros(count: int, device: torch.device) -> torch.Tensor:
    """Sums to be added up, on the device.

    Args:
        count: How many.
        device: Where they are.

    Returns:
        (count,) zeros: float64, or float32 where there is none.
    """
    return torch.zeros(count, dtype=sum_type(device), device=device)


def sum_type(device: torch.device) -> torch.dtype:
    """The most exact floating-point type of a device; Apple's (MPS) have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def add_up(tensor: torch.Tensor) -> torch.Tensor:
    """Replace a tensor by its sum over all processes; alone, leave it.

    Args:
        tensor: Of one shape in all processes; changed in place.

    Returns:
        The same tensor.
    """
    if dist.is_initialized():
        dist.all_reduce(tensor)
    return tensor


def agree(value: Any) -> Any:
    """What rank 0 says, in every process.

    Args:
        value: Anything that can be pickled; only rank 0's counts.

    Returns:
        Rank 0's value.
    """
    if not dist.is_initialized():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def gather(value: Any) -> list[Any]:
    """The values of all processes, in every process.

    Args:
        value: Anything that can be pickled.

    Returns:
        One value for each process, by rank.
    """
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def same_buffers(model: nn.Module) -> None:
    """Give every process rank 0's running statistics of batch normalisation.

    Each process has seen other examples; the statistics of rank 0 are the ones that are saved, so
    validation has to use them everywhere.
    """
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
