"""The arithmetic of large trainings, and the stop-watch."""

import math

import numpy as np
import pytest
from torch.utils.data import DataLoader

from cnnlib.pytorch import scaling


def test_the_cost_of_an_hour():
    cost = scaling.training_cost(7200, 5, 10, gpus=4, efficiency=0.5, price=3, watts=500)
    assert cost == (0.5, 2.0, 6.0, 1.0)
    assert scaling.training_cost(3600, 1, 1).hours == 1


def simulated_ring(arrays):
    """Pass parts round a ring as the docstring says; count what each worker sends."""
    n = len(arrays)
    parts = [np.array_split(a.astype(float), n) for a in arrays]
    sent = [0] * n
    for phase, adding in ((0, True), (1, False)):
        for r in range(n - 1):
            moving = [(w, (w - r + phase) % n) for w in range(n)]
            packets = [(w, k, parts[w][k].copy()) for w, k in moving]
            for w, k, packet in packets:
                target = parts[(w + 1) % n]
                target[k] = target[k] + packet if adding else packet
                sent[w] += packet.size
    return [np.concatenate(p) for p in parts], sent


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_a_ring_sends_what_the_formula_says(workers):
    size = 8 * 24
    arrays = [np.random.default_rng(w).integers(0, 9, 24) for w in range(workers)]
    sums, sent = simulated_ring(arrays)
    assert all(np.array_equal(s, sum(arrays)) for s in sums)
    assert {8 * s for s in sent} == {round(scaling.ring_all_reduce(size, workers, 1.0))}
    with_latency = scaling.ring_all_reduce(size, workers, 1.0, 5.0)
    assert with_latency - scaling.ring_all_reduce(size, workers, 1.0) == 10 * (workers - 1)


def test_youngs_interval_loses_least():
    save, between = 30.0, 50_000.0
    best = scaling.checkpoint_interval(save, between)
    assert best == math.sqrt(2 * 30 * 50_000)
    least = scaling.lost_share(best, save, between)
    for other in (0.5 * best, 0.99 * best, 1.01 * best, 2 * best):
        assert scaling.lost_share(other, save, between) > least
    assert least == pytest.approx(math.sqrt(2 * save / between))


def test_the_share_that_is_lost_agrees_with_a_simulation():
    rng = np.random.default_rng(0)
    save, between, interval, work = 30.0, 20_000.0, 1000.0, 2_000_000.0
    done = clock = 0.0
    failure = rng.exponential(between)
    while done < work:
        end = clock + interval + save
        if failure < end:
            clock = failure
            failure += rng.exponential(between)
        else:
            clock, done = end, done + interval
    assert clock / work - 1 == pytest.approx(scaling.lost_share(interval, save, between), rel=0.25)


def test_the_stop_watch_tells_waiting_from_working():
    clock = scaling.time.sleep
    wait = scaling.watch(DataLoader(scaling.SlowSamples(3, 0.05), 1), lambda _: None)
    assert wait.data >= 0.15
    assert wait.share > 0.9
    wait = scaling.watch([1, 2, 3], lambda _: clock(0.05))
    assert wait.work >= 0.15
    assert wait.share < 0.1
    assert scaling.Wait(1.0, 3.0).share == 0.25
    samples = scaling.SlowSamples(4, 0.0)
    assert (len(samples), samples[2]) == (4, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scaling.training_cost(0, 1, 1), "training_cost: images must be positive and fin"),
        (lambda: scaling.training_cost(1, 1, math.nan), "rate must be positive and fin"),
        (lambda: scaling.training_cost(1, 1, 1, efficiency=1.1), "at most 1, got 1.1"),
        (lambda: scaling.training_cost(1, 1, 1, price=-1), "must not be negative, got -1 and 0"),
        (lambda: scaling.ring_all_reduce(1, 0, 1), "ring_all_reduce: workers must be positive"),
        (lambda: scaling.checkpoint_interval(0, 1), "checkpoint_interval: save must be positive"),
        (lambda: scaling.lost_share(1, 1, 0), "lost_share: between_failures must be positive"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
