"""The gradient check finds planted mistakes and says where they are."""

import functools

import numpy as np
import pytest

from cnnlib import ops
from cnnlib.gradcheck import (
    GradientMismatch,
    gradcheck,
    numerical_gradient,
    relative_error,
)

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((2, 4, 7, 6)), RNG.standard_normal((6, 2, 3, 2)), np.ones(6)
OPTIONS = {"stride": (2, 1), "padding": (1, 0), "groups": 2}


def test_numerical_gradient_of_a_polynomial():
    x = np.array([[1.0, -2.0], [0.5, 3.0]])
    gradient = numerical_gradient(lambda x: np.sum(x**3), x)
    np.testing.assert_allclose(gradient, 3 * x**2, rtol=1e-8)


def test_differences_are_central():
    # A forward difference is off by eps; a central one of a square is exact but for rounding.
    assert numerical_gradient(lambda x: x[0] ** 2, [1.0], eps=1e-2)[0] == pytest.approx(
        2, abs=1e-12
    )


def test_x_is_not_written_to_and_counts_as_float64():
    x = np.array([1, 2])
    x.flags.writeable = False
    assert numerical_gradient(lambda x: x[0] * x[1], x) == pytest.approx(np.array([2.0, 1.0]))


def test_a_scalar_has_a_gradient():
    assert numerical_gradient(lambda x: x**2, 3.0) == pytest.approx(6)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0),
        ([0.0], [0.0], 0),
        ([1.0], [-1.0], 1),
        ([3e-9], [1e-9], 0.5),
        ([3e9, 0.0], [1e9, 0.0], 0.5),
    ],
)
def test_relative_error(a, b, expected):
    assert relative_error(a, b) == pytest.approx(expected)


def test_relative_error_lets_nan_through_and_no_broadcasting():
    assert np.isnan(relative_error([np.nan], [1.0]))
    with pytest.raises(ValueError, match=r"shapes differ, \(2,\) and \(1,\)"):
        relative_error([1.0, 2.0], [1.0])


def test_our_convolution_passes():
    report = gradcheck(ops.conv2d_forward, ops.conv2d_backward, (X, W, B), rng=0, options=OPTIONS)
    assert list(report.errors) == ["x", "weight", "bias"]
    assert max(report.errors.values()) < 1e-6
    assert repr(report) == (
        "gradcheck passed: dx, dweight, dbias within 1e-06 of the numerical gradient"
    )


def test_a_missing_bias_is_skipped():
    report = gradcheck(ops.conv2d_forward, ops.conv2d_backward, (X, W, None), options=OPTIONS)
    assert list(report.errors) == ["x", "weight"]


def test_a_loss_with_its_labels_bound():
    report = gradcheck(
        functools.partial(ops.cross_entropy_forward, labels=np.array([2, 0])),
        lambda dy, cache: dy * ops.cross_entropy_backward(cache),
        (RNG.standard_normal((2, 3)),),
    )
    assert list(report.errors) == ["logits"]


def spoiled(change):
    """conv2d_backward with a mistake planted into its gradients."""

    def backward(dy, cache):
        return change(*ops.conv2d_backward(dy, cache))

    return backward


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda dx, dw, db: (dx, dw[:, :, ::-1, ::-1], db), "dweight is wrong"),  # flipped
        (lambda dx, dw, db: (dx, 2 * dw, db), "dweight is wrong, relative error 3.3e-01"),
        (lambda dx, dw, db: (-dx, dw, db), "dx is wrong, relative error 1.0e"),
        (lambda dx, dw, db: (dx, dw, db / 2), "dbias is wrong"),  # a batch size too many
        (lambda dx, dw, db: (dx, dw, db * np.nan), "dbias is wrong, relative error nan"),
        (lambda dx, dw, db: (dx, dw, db[:, None]), r"dbias has shape \(6, 1\) but bias has \(6,\)"),
        (lambda dx, dw, db: (dx, dw, None), "bias is an array but dbias is None"),
        (lambda dx, dw, db: (dx, dw), "returned 2 gradients for 3 inputs"),
    ],
)
def test_planted_mistakes_are_found(change, named):
    with pytest.raises(GradientMismatch, match=named):
        gradcheck(ops.conv2d_forward, spoiled(change), (X, W, B), rng=0, options=OPTIONS)


def test_a_gradient_for_a_missing_bias_is_found():
    backward = spoiled(lambda dx, dw, db: (dx, dw, B))
    with pytest.raises(GradientMismatch, match="bias is None but dbias is an array"):
        gradcheck(ops.conv2d_forward, backward, (X, W, None), options=OPTIONS)


def test_the_worst_entry_is_named_with_both_values():
    def backward(dy, cache):
        dx = np.array(ops.tanh_backward(dy, cache))
        dx[1, 2] += 100
        return dx

    rng = np.random.default_rng(0)  # used as it is
    with pytest.raises(GradientMismatch, match=r"worst at index \(1, 2\): backward says 100") as e:
        gradcheck(ops.tanh_forward, backward, (RNG.standard_normal((3, 4)),), rng=rng)
    assert "the difference quotient 0.24" in str(e.value)


def test_upstream_is_random_so_that_a_transposed_gradient_shows():
    # y = x + x.T has dx = dy + dy.T; with dy all ones, 2 dy would pass as well.
    def forward(x):
        return x + x.T, None

    x = np.zeros((3, 3))
    gradcheck(forward, lambda dy, _: dy + dy.T, (x,))
    with pytest.raises(GradientMismatch):
        gradcheck(forward, lambda dy, _: 2 * dy, (x,))


def test_unnamed_arguments_are_numbered():
    with pytest.raises(GradientMismatch, match="dinput0 is wrong"):
        gradcheck(lambda *xs: (xs[0] * 2, None), lambda dy, _: dy, (np.ones(2),))


def test_the_upstream_gradient_is_not_the_input():
    """Who draws x from the seed that gradcheck starts from must not get dy equal to x: a mask from
    the wrong tensor would pass."""
    x = np.random.default_rng(0).normal(size=(3, 4))

    def wrong(dy, _):
        return np.where(dy > 0, dy, 0.0)

    with pytest.raises(GradientMismatch):
        gradcheck(ops.relu_forward, wrong, [x])
    gradcheck(ops.relu_forward, ops.relu_backward, [x])
