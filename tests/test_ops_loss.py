"""Softmax and cross-entropy against torch, difference quotients and planted mistakes."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from naive import agree, derivative, host

from cnnlib import ops

RNG = np.random.default_rng(0)
DRAW = RNG.standard_normal
EXTRAS = [(), (3,), (2, 3)]
OPTIONS = [
    {},
    {"reduction": "sum"},
    {"reduction": "none"},
    {"label_smoothing": 0.2},
    {"ignore_index": 1},
    {"ignore_index": 1, "reduction": "none", "label_smoothing": 0.1},
]


@pytest.mark.parametrize("extra", EXTRAS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_cross_entropy_equals_torch(xp, extra, weighted, soft, options):
    if soft and "ignore_index" in options:
        return  # torch refuses it, too
    logits = DRAW((6, 5, *extra))
    labels = RNG.integers(0, 5, (6, *extra))
    if soft:
        labels = RNG.random(logits.shape)
    elif "ignore_index" not in options:
        labels.flat[0] = -100  # ignored by default
    weight = RNG.random(5) + 0.5 if weighted else None
    given = options | ({"weight": xp(weight)} if weighted else {})
    loss, cache = ops.cross_entropy_forward(xp(logits), xp(labels), **given)

    leaf = torch.tensor(logits, requires_grad=True)
    more = options | ({"weight": torch.tensor(weight)} if weighted else {})
    want = F.cross_entropy(leaf, torch.tensor(labels), **more)
    agree(loss, want.detach())
    upstream = DRAW(tuple(want.shape))
    gradient = torch.autograd.grad(want, leaf, torch.tensor(upstream))[0]
    agree(ops.cross_entropy_backward(cache, xp(np.asarray(upstream))), gradient)


def test_plain_cross_entropy_equals_torch_and_its_quotient(xp):
    logits, labels = DRAW((6, 5)), RNG.integers(0, 5, 6)
    loss, cache = ops.cross_entropy_forward(xp(logits), xp(labels))
    leaf = torch.tensor(logits, requires_grad=True)
    want = F.cross_entropy(leaf, torch.tensor(labels))
    agree(loss, want.detach())
    got = ops.cross_entropy_backward(cache)
    agree(got, torch.autograd.grad(want, leaf)[0])
    right = derivative(lambda a: ops.cross_entropy_forward(a, labels)[0], logits)
    agree(got, right, 1e-6, 1e-8)
    agree(host(ops.softmax(xp(logits))).sum(1), np.ones(6))
    onehot = np.eye(5)[labels]
    agree(got, (host(ops.softmax(xp(logits))) - onehot) / 6)
    for mistake in (host(got) * 6, host(got) + onehot / 6, -host(got)):
        with pytest.raises(AssertionError):
            agree(mistake, right, 1e-6, 1e-8)


def test_planted_mistakes_in_the_options_are_caught():
    logits, labels, weight = DRAW((6, 5)), RNG.integers(0, 5, 6), RNG.random(5) + 0.5
    _, cache = ops.cross_entropy_forward(logits, labels, weight=weight, label_smoothing=0.1)
    right = derivative(
        lambda a: ops.cross_entropy_forward(a, labels, weight=weight, label_smoothing=0.1)[0],
        logits,
    )
    agree(ops.cross_entropy_backward(cache), right, 1e-6, 1e-8)
    for part in ({"scale": 1 / 6}, {"pull": np.ones((6, 1))}, {"wanted": np.eye(5)[labels]}):
        wrong = cache._replace(target=cache.target._replace(**part))
        with pytest.raises(AssertionError):
            agree(ops.cross_entropy_backward(wrong), right, 1e-6, 1e-8)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_equals_torch_also_far_out(xp, axis):
    logits = np.concatenate([DRAW((3, 4)), [[1000.0, -1000.0, 0.0, 999.0]]])
    agree(ops.softmax(xp(logits), axis=axis), torch.softmax(torch.tensor(logits), axis))
    agree(ops.log_softmax(xp(logits), axis=axis), torch.log_softmax(torch.tensor(logits), axis))


def test_extreme_and_missing_numbers_behave_as_in_torch(xp):
    logits = np.array([[1000.0, -1000.0, 0.0], [0.0, 1.0, -np.inf], [2.0, 0.0, 1.0]])
    labels = np.array([1, 0, 2])
    for options in ({}, {"reduction": "sum"}):
        loss, cache = ops.cross_entropy_forward(xp(logits), xp(labels), **options)
        leaf = torch.tensor(logits, requires_grad=True)
        want = F.cross_entropy(leaf, torch.tensor(labels), **options)
        agree(loss, want.detach())
        agree(ops.cross_entropy_backward(cache), torch.autograd.grad(want, leaf)[0])
    logits[0, 0] = np.nan
    loss, cache = ops.cross_entropy_forward(xp(logits), xp(labels))
    assert np.isnan(float(loss))
    gradient = host(ops.cross_entropy_backward(cache))
    assert np.isnan(gradient[0]).all()
    assert not np.isnan(gradient[1:]).any()


def test_the_mean_over_nothing_is_nan_without_a_warning(xp):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty, cache = ops.cross_entropy_forward(xp(DRAW((0, 5))), xp(np.zeros(0, int)))
        assert np.isnan(float(empty))
        assert tuple(ops.cross_entropy_backward(cache).shape) == (0, 5)
        ignored, _ = ops.cross_entropy_forward(xp(DRAW((2, 5))), xp(np.array([-100, -100])))
        assert np.isnan(float(ignored))
        zero, _ = ops.cross_entropy_forward(xp(DRAW((0, 5))), xp(np.zeros(0, int)), reduction="sum")
        assert float(zero) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_dtype_stays_and_arguments_too(xp, dtype, options):
    logits, labels = DRAW((6, 5)).astype(dtype), RNG.integers(0, 5, 6)
    x = xp(logits)
    loss, cache = ops.cross_entropy_forward(x, xp(labels), **options)
    dlogits = ops.cross_entropy_backward(cache)
    for array in (loss, dlogits, ops.softmax(x), ops.log_softmax(x)):
        assert host(array).dtype == dtype
    assert np.array_equal(host(x), logits)


def test_small_label_types_work(xp):
    logits, labels = DRAW((4, 3)), np.array([2, 0, 1, 1])
    want, _ = ops.cross_entropy_forward(logits, labels)
    for dtype in (np.uint8, np.int8, np.int32):
        loss, cache = ops.cross_entropy_forward(xp(logits), xp(labels.astype(dtype)))
        agree(loss, want)
        agree(host(ops.cross_entropy_backward(cache)).sum(1), np.zeros(4))


Z, T = np.zeros((2, 3)), np.array([0, 2])


@pytest.mark.parametrize(
    ("kind", "call", "text"),
    [
        (ValueError, (Z, np.array([0, 3])), "labels must be class numbers from 0 to 2: found 3"),
        (ValueError, (Z, np.array([-1, 0])), "labels must be class numbers from 0 to 2: found -1"),
        (TypeError, (Z, T * 1.0), "labels must be integers (class numbers), got float64"),
        (TypeError, (Z, T > 0), "labels must be integers (class numbers), got bool"),
        (ValueError, (Z, T[:1]),
         "labels must have shape (2,): logits (2, 3), labels (1,)"),
        (ValueError, (Z[0], T),
         "logits must have at least 2 axes (N, C, ...), got (3,)"),
        (TypeError, (Z, Z.astype(np.float32)),
         "labels of the logits' shape are probabilities and must have the logits' dtype: "
         "float32 and float64"),
        (TypeError, (Z.astype(int), T), "logits must be floating-point numbers, got int64"),
        (TypeError, (Z, [0, 2]), "labels must be an array (NumPy, torch, ...), got list"),
        (TypeError, (Z, torch.tensor(T)),
         "logits and labels come from different libraries: numpy and torch"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(kind, call, text):
    with pytest.raises(kind) as caught:
        ops.cross_entropy_forward(*call)
    assert str(caught.value) == f"cross_entropy: {text}"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"reduction": "max"}, "reduction must be 'mean', 'sum' or 'none', got 'max'"),
        ({"label_smoothing": 2}, "label_smoothing must be between 0 and 1, got 2"),
        ({"weight": np.ones(2)}, "weight must have shape (3,), got (2,)"),
    ],
)
def test_option_errors(options, text):
    with pytest.raises(ValueError) as caught:
        ops.cross_entropy_forward(Z, T, **options)
    assert str(caught.value) == f"cross_entropy: {text}"


def test_softmax_needs_floats():
    with pytest.raises(
        TypeError, match=r"^softmax: logits must be floating-point numbers, got int"
    ):
        ops.softmax(np.array([1, 2]))


@pytest.mark.parametrize("library", [np.asarray, torch.tensor])
def test_half_precision_keeps_the_small_parts_of_the_gradient(library):
    logits, labels = np.zeros((128, 1000), np.float16), np.arange(128)
    _, cache = ops.cross_entropy_forward(library(logits), library(labels))
    got = host(ops.cross_entropy_backward(cache))
    leaf = torch.tensor(logits, requires_grad=True)
    want = torch.autograd.grad(F.cross_entropy(leaf, torch.tensor(labels)), leaf)[0]
    np.testing.assert_allclose(got, want.numpy(), rtol=0.02)
    assert got.dtype == np.float16


def test_numpy_numbers_as_options_do_not_widen():
    logits, labels = DRAW((3, 4)).astype(np.float32), np.array([0, 1, 3])
    loss, cache = ops.cross_entropy_forward(logits, labels, label_smoothing=np.float64(0.1))
    assert loss.dtype == ops.cross_entropy_backward(cache, np.float64(2)).dtype == np.float32


def test_the_upstream_gradient_has_the_shape_of_the_loss(xp):
    logits, labels = xp(DRAW((3, 3))), xp(np.array([0, 1, 2]))
    for reduction, shape, wrong in (("none", (3,), (3, 3)), ("mean", (), (3,)), ("sum", (), (1,))):
        _, cache = ops.cross_entropy_forward(logits, labels, reduction=reduction)
        ops.cross_entropy_backward(cache, xp(np.ones(shape)))
        with pytest.raises(ValueError) as caught:
            ops.cross_entropy_backward(cache, xp(np.ones(wrong)))
        text = f"cross_entropy_backward: dloss must have shape {shape}, got {wrong}"
        assert str(caught.value) == text
    with pytest.raises(TypeError, match="dloss must be an array"):
        ops.cross_entropy_backward(cache, [1.0, 2.0, 3.0])


def test_probabilities_have_no_number_to_ignore():
    with pytest.raises(ValueError, match="ignore_index needs labels that are class numbers"):
        ops.cross_entropy_forward(DRAW((3, 3)), np.eye(3), ignore_index=1)
    with pytest.raises(RuntimeError, match="ignore_index is not supported"):
        F.cross_entropy(torch.zeros(3, 3), torch.eye(3), ignore_index=1)


def test_a_number_to_ignore_that_no_label_has(xp):
    logits, labels = DRAW((4, 3)), np.array([0, 2, 2, 0])
    for ignored in (1, 2, -1):
        loss, cache = ops.cross_entropy_forward(xp(logits), xp(labels), ignore_index=ignored)
        leaf = torch.tensor(logits, requires_grad=True)
        want = F.cross_entropy(leaf, torch.tensor(labels), ignore_index=ignored)
        agree(loss, want.detach())
        agree(ops.cross_entropy_backward(cache), torch.autograd.grad(want, leaf)[0])
