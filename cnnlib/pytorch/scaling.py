"""What a large training costs, and what it waits for: arithmetic, and one stop-watch."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Cost(NamedTuple):
    """Of a whole training."""

    hours: float
    gpu_hours: float
    money: float
    kwh: float


def training_cost(
    images: int,
    epochs: float,
    rate: float,
    *,
    gpus: int = 1,
    efficiency: float = 1.0,
    price: float = 0.0,
    watts: float = 0.0,
) -> Cost:
    r"""Time, money and energy of a training.

    .. math:: t = \frac{\text{images} \cdot \text{epochs}}{\text{rate} \cdot N \cdot e}

    Args:
        images: In the training set.
        epochs: How often each is seen.
        rate: Images per second that one GPU alone trains on.
        gpus: How many there are, N.
        efficiency: Share of N times the rate that N GPUs reach together, e.
        price: Of one GPU for one hour, in any currency.
        watts: That one GPU draws, with its share of the machine around it.

    Returns:
        Hours, GPU hours, money and kilowatt-hours.

    Raises:
        ValueError: If a number is out of range.

    >>> training_cost(1_000_000, 36, 1000, gpus=10, price=2.0)
    Cost(hours=1.0, gpu_hours=10.0, money=20.0, kwh=0.0)
    """
    _positive("training_cost", images=images, epochs=epochs, rate=rate, gpus=gpus)
    if not 0 < efficiency <= 1:
        raise ValueError(
            f"training_cost: efficiency must be more than 0 and at most 1, got {efficiency}"
        )
    if not (price >= 0 and watts >= 0):
        raise ValueError(
            f"training_cost: price and watts must not be negative, got {price} and {watts}"
        )
    hours = images * epochs / (rate * gpus * efficiency) / 3600
    return Cost(hours, hours * gpus, hours * gpus * price, hours * gpus * watts / 1000)


def ring_all_reduce(size: float, workers: int, bandwidth: float, latency: float = 0.0) -> float:
    r"""Seconds in which a ring of workers adds up an array that each of them holds.

    .. math:: t = 2 (N - 1) \left(\frac{S}{N \beta} + \lambda\right)

    The array is cut into N parts. In N - 1 rounds each worker passes a part on to the next, which
    adds its own; in N - 1 more the finished parts go round. So every worker sends
    :math:`2 S (N - 1) / N` bytes, hardly more with many workers than with few, but it waits for
    2 (N - 1) messages.

    Args:
        size: Bytes of the array, S.
        workers: N.
        bandwidth: Bytes per second from one worker to the next, beta.
        latency: Seconds before a message begins to arrive, lambda.

    Raises:
        ValueError: If a number is out of range.

    Source: Patarasuk and Yuan (2009).
    """
    _positive("ring_all_reduce", size=size, workers=workers, bandwidth=bandwidth)
    return 2 * (workers - 1) * (size / (workers * bandwidth) + latency)


def checkpoint_interval(save: float, between_failures: float) -> float:
    r"""Seconds of work between two checkpoints, such that the least time is lost.

    .. math:: \tau = \sqrt{2 \, C \, M}

    Args:
        save: Seconds that a checkpoint takes, C.
        between_failures: Seconds from one failure to the next, on average, M.

    Raises:
        ValueError: If a number is not positive.

    Source: Young (1974).
    """
    _positive("checkpoint_interval", save=save, between_failures=between_failures)
    return math.sqrt(2 * save * between_failures)


def lost_share(interval: float, save: float, between_failures: float) -> float:
    r"""Share of the time that goes into checkpoints, and into work that a failure undoes.

    .. math:: \frac{C}{\tau} + \frac{\tau}{2 M}

    A failure undoes half an interval on average. Good while both parts are small; starting again
    after a failure comes on top.

    Args:
        interval: Seconds of work between two checkpoints, tau.
        save: Seconds that a checkpoint takes, C.
        between_failures: Seconds from one failure to the next, on average, M.

    Raises:
        ValueError: If a number is not positive.

    Source: Young (1974).
    """
    _positive("lost_share", interval=interval, save=save, between_failures=between_failures)
    return save / interval + interval / (2 * between_failures)


class Wait(NamedTuple):
    """Seconds of a loop over a loader: for the next batch, and for what is done with it."""

    data: float
    work: float

    @property
    def share(self) -> float:
        """The part of the time that went into waiting for data, 0 to 1."""
        return self.data / (self.data + self.work)


def watch(loader: Iterable[Any], step: Callable[[Any], Any]) -> Wait:
    """Run over a loader once and clock both halves of the loop.

    On a GPU the step has to wait for its result (``torch.cuda.synchronize()``), or its time shows
    up as waiting for data.

    Args:
        loader: Any loader; the start of its workers counts as waiting.
        step: Called with each batch.

    Returns:
        Seconds that went into waiting and working.
    """
    data = work = 0.0
    before = time.perf_counter()
    for batch in loader:
        ready = time.perf_counter()
        step(batch)
        after = time.perf_counter()
        data, work, before = data + ready - before, work + after - ready, after
    return Wait(data, work)


class SlowSamples:
    """A data set whose samples take their time, as from a disk or over a network.

    Args:
        count: How many samples.
        seconds: How long each takes to come.
    """

    def __init__(self, count: int, seconds: float):
        self.count, self.seconds = count, seconds

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        time.sleep(self.seconds)
        return index


def _positive(where: str, **values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{where}: {name} must be positive and finite, got {value}")
