"""The order in which a loader gives the examples: a function of a seed and the epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from cnnlib.pytorch.random_state import mix


@contextmanager
def fixed_order(loader: Any, seed: int, epoch: int, rank: int = 0) -> Iterator[None]:
    """Inside, the loader's order depends on seed and epoch only, whatever was drawn before.

    Whatever has a ``set_epoch`` (loader, data set, samplers) is told the epoch. A shuffling sampler
    without one gets a generator seeded by seed, epoch and the seed of its own generator, if it has
    one; so the package's own loader, which has one, keeps to the seed it was given itself. The
    seeds of the workers, and with them random transforms, differ from rank to rank; the order does
    not. The loader's own generators are put back afterwards.

    Args:
        loader: A DataLoader; of anything else only ``set_epoch`` is used.
        seed: Of the training; without effect on a loader that has a ``set_epoch``.
        epoch: From 0.
        rank: Of the process.
    """
    outer = getattr(loader, "batch_sampler", None)
    inner = getattr(outer, "batches", None)  # of a ShardedBatches
    holder = next(part for part in (inner, outer, loader) if part is not None)
    samplers = [s for s in (outer, inner, getattr(holder, "sampler", None)) if s is not None]
    told = False
    for part in (loader, getattr(loader, "dataset", None), *samplers):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)
            told = told or part in (loader, *samplers[-1:])
    places: list[tuple[Any, tuple[int, ...]]] = []
    if not told:
        places += [(sampler, ()) for sampler in samplers if hasattr(sampler, "generator")]
    if hasattr(loader, "generator") and not hasattr(loader, "set_epoch"):
        places.append((loader, (rank, 1)))
    kept = [(place, place.generator) for place, _ in places]
    for place, more in places:
        own = place.generator.initial_seed() % 2**63 if place.generator is not None else 0
        place.generator = torch.Generator().manual_seed(mix(seed, epoch, own, *more))
    try:
        yield
    finally:
        for place, generator in kept:
            place.generator = generator
