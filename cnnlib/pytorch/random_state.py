"""The states of all random generators: to seed, to save, to put back."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int, *stream: int) -> None:
    """Seed Python's, NumPy's and torch's generators, on all devices.

    Args:
        seed: From 0 to 2**32 - 1.
        stream: Further numbers, such as the rank of a process: each combination gives other,
            independent random numbers. (Zeros at the end count for nothing.)
    """
    words = mix(seed, *stream)
    random.seed(words)
    np.random.seed(words % 2**32)  # noqa: NPY002 -- transforms of others draw from it
    torch.manual_seed(words)


def mix(*numbers: int) -> int:
    """One 63-bit number from several, in which each of their bits counts.

    Zeros at the end count for nothing.

    >>> mix(0, 1) != mix(1, 0) == mix(1)
    True
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def random_state() -> dict[str, Any]:
    """The states of Python's, NumPy's, torch's and CUDA's generators, fit for a checkpoint."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    version, words, second = random.getstate()
    return {
        "python": [version, list(words), second],
        "numpy": [str(kind), np.asarray(keys).tolist(), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what :func:`random_state` gave; devices that are not here are left out."""
    version, words, second = state["python"]
    random.setstate((version, tuple(words), second))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    for device, words in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(words, device)


@contextmanager
def unchanged_random_state() -> Iterator[None]:
    """Whatever happens inside, the generators go on afterwards as if it had not."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)
