"""Many trainings, several at a time, each with one thread."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch


def in_order(
    function: Callable[..., Any], runs: Sequence[tuple[Any, ...]], jobs: int
) -> Iterator[Any]:
    """``function(*run)`` for each run, in their order, as soon as it and those before are done.

    Args:
        function: Of a module that other processes can import.
        runs: The arguments of each call.
        jobs: So many processes, of one thread each; 1: here, one call after the other.
    """
    if jobs == 1:
        yield from (function(*run) for run in runs)
        return
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, start, torch.set_num_threads, (1,)) as pool:
        yield from pool.map(function, *zip(*runs, strict=True))
