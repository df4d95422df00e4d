"""Loaders whose order and random augmentation follow from (seed, epoch) alone."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from cnnlib.pytorch import distributed


def mix(*numbers: int) -> int:
    """One number of 63 bits that depends on all of them (SplitMix64's finishing steps)."""
    state = 0
    for number in numbers:
        state = (state ^ number) + 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ state >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1


class EpochSampler(Sampler):
    """Which samples come when, and the seed of each one's augmentation.

    Yields pairs (index, seed), for :class:`Seeded`. Both depend on the seed, the epoch and the
    index alone: not on earlier epochs, not on the number of workers.

    Args:
        length: Samples in the data set.
        shuffle: Whether each epoch has another order.
        seed: Of order and augmentation.
    """

    def __init__(self, length: int, *, shuffle: bool, seed: int):
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass that epoch's."""
        self.epoch = self.next_epoch = epoch

    def advance(self) -> None:
        """Begin the next epoch; without shuffling all epochs are the same."""
        self.epoch = self.next_epoch
        self.next_epoch += self.shuffle

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, order = self.epoch, list(range(self.length))
        if self.shuffle:
            generator = torch.Generator().manual_seed(mix(self.seed, epoch))
            order = torch.randperm(self.length, generator=generator).tolist()
        return ((index, mix(self.seed, epoch, index)) for index in order)

    def __len__(self) -> int:
        return self.length


class Seeded(Dataset):
    """A data set that is asked for (index, seed) and seeds torch's generator for that one sample.

    So the augmentation of a sample is the same with no worker and with ten, and after a resume.
    The generator's own state is put back afterwards: dropout and the like do not notice.
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        index, seed = key
        generator = torch.default_generator
        state = generator.get_state()
        generator.manual_seed(seed)
        try:
            return self.dataset[index]
        finally:
            generator.set_state(state)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "dataset":  # asked for before it is there: unpickling
            raise AttributeError(name)
        return getattr(self.dataset, name)


class Loader(DataLoader):
    """A DataLoader that can be sent to any epoch; made by :func:`cnnlib.pytorch.data.loader`.

    Each pass is the next epoch, unless :meth:`set_epoch` says which one it is.
    """

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass that epoch's: the same order and augmentation as ever."""
        self.sampler.set_epoch(epoch)  # type: ignore[attr-defined]

    def __iter__(self) -> Any:
        sampler: Any = self.sampler
        sampler.advance()
        # What workers use besides torch's generator (random, NumPy) is seeded from this one.
        self.generator.manual_seed(mix(sampler.seed, sampler.epoch))
        return super().__iter__()


def loader(
    dataset: Any,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    drop_last: bool = False,
    **options: Any,
) -> Loader:
    """Mini-batches of a data set, the same ones for the same seed and epoch.

    Args:
        dataset: Anything with a length and an index.
        batch_size: Samples per batch.
        shuffle: Whether each epoch has another order: True for training.
        seed: Decides the order of every epoch and the augmentation of every sample (as far as it
            draws from torch's generator, as torchvision's transforms do).
        workers: Processes that prepare batches; 0: this one does.
        drop_last: Whether to leave out a last, smaller batch.
        options: Further arguments of ``torch.utils.data.DataLoader``.

    Returns:
        A DataLoader with one method more: ``set_epoch(epoch)``, for a resumed training.

    Raises:
        ValueError: If the data set is empty or a number is out of range.
    """
    _check(dataset, batch_size, workers)
    if workers:
        options.setdefault("persistent_workers", True)
    options.setdefault("pin_memory", torch.cuda.is_available())
    return Loader(
        Seeded(dataset),
        batch_size,
        sampler=EpochSampler(len(dataset), shuffle=shuffle, seed=seed),
        num_workers=workers,
        drop_last=drop_last,
        generator=torch.Generator(),
        **options,
    )


def _check(dataset: Any, batch_size: int, workers: int) -> None:
    if len(dataset) == 0:
        raise ValueError("loader: the data set is empty")
    for name, value, low in (("batch_size", batch_size, 1), ("workers", workers, 0)):
        if not isinstance(value, int) or value < low:
            raise ValueError(f"loader: {name} must be an int of at least {low}, got {value!r}")


def training_loader(dataset: Any, batch_size: int, *, seed: int, workers: int = 0) -> Loader:
    """Shuffled mini-batches for training, no last one that holds a single example.

    Batch normalisation has no statistics of a single example with maps of one pixel: torch refuses
    it. Such an example, another one in each epoch, is left out; under torchrun fewer than two for
    each process are, as far as ``batch_size`` is two for each process or more.

    Args:
        dataset: Anything with a length and an index.
        batch_size: Samples per batch (and process).
        seed: Of order and augmentation.
        workers: Processes that prepare batches.

    Raises:
        ValueError: As :func:`loader`.
    """
    _check(dataset, batch_size, workers)
    world = distributed.world_size()
    full, left = divmod(len(dataset), batch_size * world)
    lonely = full > 0 and 0 < left < 2 * world
    return loader(dataset, batch_size, shuffle=True, seed=seed, workers=workers, drop_last=lonely)
