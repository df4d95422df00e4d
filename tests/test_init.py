"""Starting values: the spread that He and Glorot ask for, from torch's own count of inputs."""

import numpy as np
import pytest
import torch
from torch.nn.init import _calculate_fan_in_and_fan_out

from cnnlib import init

SHAPES = [(7, 3), (8, 3, 5, 4), (6, 2, 3, 3)]
LARGE = (200, 30, 3, 2)  # 36,000 draws: the spread of a sample is within 2 % of the true one


@pytest.mark.parametrize("shape", SHAPES)
def test_fans_are_counted_as_torch_counts(shape):
    assert init.fan_in_and_out(shape) == _calculate_fan_in_and_fan_out(torch.empty(shape))


@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_bias_has_no_fan(shape):
    with pytest.raises(ValueError, match=r"at least 2 axes, \(out, in, ...\), got shape"):
        init.fan_in_and_out(shape)


FAN_IN, FAN_OUT = 180, 1200


@pytest.mark.parametrize(
    ("draw", "variance"),
    [
        (init.he_normal, 2 / FAN_IN),
        (init.he_uniform, 2 / FAN_IN),
        (init.glorot_normal, 2 / (FAN_IN + FAN_OUT)),
        (init.glorot_uniform, 2 / (FAN_IN + FAN_OUT)),
    ],
)
def test_mean_and_variance(draw, variance):
    w = draw(LARGE, np.random.default_rng(0), dtype=np.float64)
    assert w.shape == LARGE
    assert abs(w.mean()) < 4 * np.sqrt(variance / w.size)
    assert w.var() == pytest.approx(variance, rel=0.03)


@pytest.mark.parametrize(
    ("draw", "reference"),
    [
        (init.he_uniform, torch.nn.init.kaiming_uniform_),
        (init.glorot_uniform, torch.nn.init.xavier_uniform_),
    ],
)
def test_uniform_bounds_are_those_of_torch(draw, reference):
    torch.manual_seed(0)
    options = {"nonlinearity": "relu"} if draw is init.he_uniform else {}
    theirs = reference(torch.empty(LARGE), **options)
    ours = draw(LARGE, 0)
    assert np.abs(ours).max() == pytest.approx(float(theirs.abs().max()), rel=1e-3)


def test_normal_is_not_uniform():
    # A uniform draw never leaves 1.74 standard deviations; 0.3 % of a normal one leave 3.
    w = init.he_normal(LARGE, 0)
    assert 0.001 < np.mean(np.abs(w) > 3 * w.std()) < 0.005


@pytest.mark.parametrize(
    "draw", [init.he_normal, init.he_uniform, init.glorot_normal, init.glorot_uniform]
)
def test_one_seed_gives_one_start_in_both_precisions(draw):
    single, double = draw((4, 3), 5), draw((4, 3), 5, dtype=np.float64)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(single, double.astype(np.float32))
    assert not np.array_equal(single, draw((4, 3), 6))


def test_a_generator_moves_on():
    rng = np.random.default_rng(0)
    assert not np.array_equal(init.he_normal((4, 3), rng), init.he_normal((4, 3), rng))
