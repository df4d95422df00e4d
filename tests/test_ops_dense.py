"""Dense layer, activations, dropout, batch normalisation: torch, quotients, planted mistakes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from naive import agree, derivative, host

from cnnlib import ops
from cnnlib.ops import activation, dense, norm

RNG = np.random.default_rng(0)
DRAW = RNG.standard_normal
ACTIVATIONS = {
    "relu": (ops.relu_forward, ops.relu_backward, torch.relu),
    "sigmoid": (ops.sigmoid_forward, ops.sigmoid_backward, torch.sigmoid),
    "tanh": (ops.tanh_forward, ops.tanh_backward, torch.tanh),
}


def by_torch(function, arrays, dy):
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = function(*leaves)
    return y.detach(), torch.autograd.grad(y, leaves, torch.tensor(dy))


@pytest.mark.parametrize("shape", [(5,), (0, 5), (3, 5), (2, 4, 5)], ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear_equals_torch(xp, shape, with_bias):
    arrays = [DRAW(shape), DRAW((3, 5)), DRAW(3)][: 3 if with_bias else 2]
    y, cache = ops.linear_forward(*map(xp, arrays))
    dy = DRAW(tuple(y.shape))
    want, gradients = by_torch(F.linear, arrays, dy)
    agree(y, want)
    grads = ops.linear_backward(xp(dy), cache)
    assert (grads[2] is None) != with_bias
    for got, right in zip(grads[: len(arrays)], gradients, strict=True):
        agree(got, right)


def test_linear_with_a_vector_of_weights_equals_torch(xp):
    arrays, dy = [DRAW((2, 4, 5)), DRAW(5)], DRAW((2, 4))
    want, gradients = by_torch(F.linear, arrays, dy)
    y, cache = ops.linear_forward(*map(xp, arrays))
    agree(y, want)
    for got, right in zip(ops.linear_backward(xp(dy), cache), gradients, strict=False):
        agree(got, right)


def test_the_dense_example():
    weight, three = np.arange(1, 10).reshape(3, 3), np.array([1, 2, 3])
    assert ops.linear_forward(three, weight, three)[0].tolist() == [15, 34, 53]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_equal_torch(xp, name):
    forward, backward, reference = ACTIVATIONS[name]
    x = np.concatenate([DRAW(20), [0.0, -0.0, np.inf, -np.inf, 1000.0, -1000.0, np.nan]])
    y, cache = forward(xp(x))
    want, gradients = by_torch(reference, [x], dy := DRAW(x.shape))
    agree(y, want)
    agree(backward(xp(dy), cache), gradients[0])


def test_relu_has_slope_zero_at_zero_and_the_known_example(xp):
    y, cache = ops.relu_forward(xp(np.array([-1.0, 2.0, -3.0, 0.0])))
    assert host(y).tolist() == [0, 2, 0, 0]
    assert host(ops.relu_backward(xp(np.ones(4)), cache)).tolist() == [0, 1, 0, 0]


def norm_torch(x, weight, bias, mean, var, training):
    mean, var = torch.tensor(mean), torch.tensor(var)
    y = F.batch_norm(x, mean, var, weight, bias, training, momentum=0.3, eps=1e-4)
    return y, mean, var


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_equals_torch(xp, training):
    x, weight, bias, mean = DRAW((4, 3, 2, 5)), DRAW(3), DRAW(3), DRAW(3)
    var = RNG.random(3) + 0.5
    y, cache = ops.batch_norm2d_forward(
        *map(xp, (x, weight, bias, mean, var)), training=training, momentum=0.3, eps=1e-4
    )
    dy = DRAW(x.shape)
    want, gradients = by_torch(
        lambda *a: norm_torch(*a, mean, var, training)[0], [x, weight, bias], dy
    )
    agree(y, want)
    for got, right in zip(ops.batch_norm2d_backward(xp(dy), cache), gradients, strict=True):
        agree(got, right)
    _, *running = norm_torch(*map(torch.tensor, (x, weight, bias)), mean, var, training)
    agree(cache.running_mean, running[0])
    agree(cache.running_var, running[1])


def test_batch_norm_without_weights_or_running_statistics():
    x = DRAW((4, 3, 2, 5))
    y, cache = ops.batch_norm2d_forward(x, None, None, None, None, training=False)
    agree(y, F.batch_norm(torch.tensor(x), None, None, training=True))
    assert ops.batch_norm2d_backward(y, cache)[1:] == (None, None)


def test_dropout_drops_scales_and_routes(xp):
    x = DRAW((40, 50))
    y, cache = ops.dropout_forward(xp(x), p=0.25, rng=np.random.default_rng(1))
    kept = host(y) != 0
    assert 0.72 < kept.mean() < 0.78
    agree(y, np.where(kept, x / 0.75, 0))
    agree(ops.dropout_backward(xp(np.ones_like(x)), cache), kept / 0.75)
    for options in ({"p": 0.5, "training": False}, {"p": 0.0}):
        y, cache = ops.dropout_forward(xp(x), rng=None, **options)
        agree(y, x)
        agree(ops.dropout_backward(xp(x), cache), x)
    assert not host(ops.dropout_forward(xp(x), p=1, rng=np.random.default_rng(1))[0]).any()


def pairs():
    """Name, forward of the arrays, backward, the arrays."""
    for name, (forward, backward, _) in ACTIVATIONS.items():
        yield name, forward, backward, [DRAW((3, 4))]
    yield "linear", ops.linear_forward, ops.linear_backward, [DRAW((4, 3)), DRAW((2, 3)), DRAW(2)]
    running = DRAW(3), RNG.random(3) + 0.5
    for training in (True, False):
        yield (
            f"batch_norm2d {training}",
            lambda *a, t=training: ops.batch_norm2d_forward(*a, *running, training=t),
            ops.batch_norm2d_backward,
            [DRAW((3, 3, 2, 2)), DRAW(3), DRAW(3)],
        )
    yield (
        "dropout",
        lambda x: ops.dropout_forward(x, p=0.5, rng=np.random.default_rng(0)),
        ops.dropout_backward,
        [DRAW((5, 6))],
    )


def check(forward, backward, arrays, dy):
    _, cache = forward(*arrays)
    gradients = backward(dy, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for k, got in enumerate(gradients):

        def f(a, k=k):
            return np.sum(dy * forward(*arrays[:k], a, *arrays[k + 1 :])[0])

        agree(got, derivative(f, arrays[k]), 1e-6, 1e-7)


WRONG = {
    "relu": lambda dy, c: dy * (dy > 0),  # the mask of the wrong tensor
    "sigmoid": lambda dy, c: dy * c.y,
    "tanh": lambda dy, c: dy * (1 - c.y),
    "linear": lambda dy, c: (dy @ c.weight, np.flip(dy, 0).T @ c.x, dy.sum(0)),
    "batch_norm2d True": lambda dy, c: norm.batch_norm2d_backward(
        dy, c._replace(batch_statistics=False)
    ),
    "batch_norm2d False": lambda dy, c: norm.batch_norm2d_backward(
        dy, c._replace(batch_statistics=True)
    ),
    "dropout": lambda dy, c: dy * (c.mask > 0),  # the scale forgotten
}


@pytest.mark.parametrize("case", list(pairs()), ids=lambda case: case[0])
def test_gradients_equal_difference_quotients_and_mistakes_do_not(case):
    name, forward, backward, arrays = case
    dy = DRAW(forward(*arrays)[0].shape)
    check(forward, backward, arrays, dy)
    with pytest.raises(AssertionError):
        check(forward, WRONG[name], arrays, dy)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays_and_arguments_too(xp, dtype):
    for _, forward, backward, arrays in pairs():
        if len(arrays) == 3 and arrays[0].ndim == 4:
            continue  # batch_norm2d has more arguments: below
        before = [a.astype(dtype) for a in arrays]
        given = [xp(a) for a in before]
        y, cache = forward(*given)
        gradients = backward(xp(host(y)), cache)
        for got in gradients if isinstance(gradients, tuple) else (gradients,):
            assert host(got).dtype == dtype
        assert host(y).dtype == dtype
        assert all(np.array_equal(host(a), b) for a, b in zip(given, before, strict=True))
    before = [a.astype(dtype) for a in (DRAW((2, 3, 2, 2)), DRAW(3), DRAW(3), DRAW(3), np.ones(3))]
    given = [xp(a) for a in before]
    y, cache = ops.batch_norm2d_forward(*given, training=True)
    for got in (y, cache.running_mean, cache.running_var, *ops.batch_norm2d_backward(y, cache)):
        assert host(got).dtype == dtype
    assert all(np.array_equal(host(a), b) for a, b in zip(given, before, strict=True))


X4 = np.zeros((2, 3, 4, 4))
RUN = [None] * 4


@pytest.mark.parametrize(
    ("kind", "call", "text"),
    [
        (ValueError, lambda: ops.linear_forward(np.ones((2, 3)), np.ones((4, 5))),
         "linear: x must have 5 features on its last axis: x (2, 3), weight (4, 5)"),
        (ValueError, lambda: ops.linear_forward(np.ones(3), np.ones((1, 4, 3))),
         "linear: weight must have 2 axes (O, I), got shape (1, 4, 3)"),
        (ValueError, lambda: ops.linear_forward(np.ones(3), np.ones((4, 3)), np.ones(3)),
         "linear: bias must have shape (4,), got (3,)"),
        (TypeError, lambda: ops.linear_forward(np.ones(3), np.ones((4, 3), np.float32)),
         "linear: x and weight must have the same dtype: float64 and float32"),
        (TypeError, lambda: ops.relu_forward(3.0),
         "relu: x must be an array (NumPy, torch, ...), got float"),
        (ValueError, lambda: ops.relu_backward(np.ones(2), activation.ReluCache(np.ones(3))),
         "relu_backward: dy must have shape (3,), got (2,)"),
        (ValueError, lambda: ops.tanh_backward(np.ones(2), activation.TanhCache(np.ones(3))),
         "tanh_backward: dy must have shape (3,), got (2,)"),
        (ValueError, lambda: ops.sigmoid_backward(np.ones(2), activation.SigmoidCache(np.ones(3))),
         "sigmoid_backward: dy must have shape (3,), got (2,)"),
        (ValueError, lambda: ops.dropout_backward(np.ones(2), dense.DropoutCache(np.ones(3))),
         "dropout_backward: dy must have shape (3,), got (2,)"),
        (ValueError, lambda: ops.dropout_forward(X4, p=1.5, rng=None),
         "dropout: p must be a probability between 0 and 1, got 1.5"),
        (TypeError, lambda: ops.dropout_forward(X4, p=0.5, rng=None),
         "dropout: rng must be a numpy.random.Generator, got NoneType"),
        (ValueError, lambda: ops.batch_norm2d_forward(X4[0], *RUN, training=True),
         "batch_norm2d: x must have 4 axes (N, C, H, W), got shape (3, 4, 4)"),
        (ValueError, lambda: ops.batch_norm2d_forward(X4, np.ones(4), *RUN[1:], training=True),
         "batch_norm2d: weight must have shape (3,), got (4,)"),
        (ValueError, lambda: ops.batch_norm2d_forward(X4[:1, :, :1, :1], *RUN, training=True),
         "batch_norm2d: training needs more than 1 value per channel: x (1, 3, 1, 1)"),
        (ValueError, lambda: ops.batch_norm2d_forward(X4, None, None, np.ones(3), None,
                                                      training=True),
         "batch_norm2d: running_mean and running_var must be given together"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(kind, call, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("statistics", [True, False])
def test_batch_norm_of_no_images_changes_no_statistics(xp, statistics):
    x, ones = xp(np.ones((0, 3, 4, 4))), xp(np.ones(3))
    mean, var = (xp(np.zeros(3)), ones) if statistics else (None, None)
    y, cache = ops.batch_norm2d_forward(x, ones, ones, mean, var, training=True)
    assert tuple(y.shape) == (0, 3, 4, 4)
    if statistics:
        assert host(cache.running_mean).tolist() == [0, 0, 0]
        assert host(cache.running_var).tolist() == [1, 1, 1]
    dx, dweight, dbias = ops.batch_norm2d_backward(y, cache)
    assert tuple(dx.shape) == (0, 3, 4, 4)
    assert host(dweight).tolist() == host(dbias).tolist() == [0, 0, 0]


def test_batch_norm_with_numpy_numbers_as_options_does_not_widen():
    x, (ones, zeros) = DRAW((2, 3, 4, 4)).astype(np.float32), np.eye(2, 3, dtype=np.float32)
    y, cache = ops.batch_norm2d_forward(
        x, ones, zeros, zeros, ones, training=True, momentum=np.float64(0.1), eps=np.float64(1e-5)
    )
    assert y.dtype == cache.running_mean.dtype == cache.running_var.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_sigmoid_and_dropout_need_floating_point_numbers(xp, dtype):
    x = xp(np.arange(8, dtype=dtype))
    with pytest.raises(TypeError, match=r"^sigmoid: x must hold floating-point numbers, got "):
        ops.sigmoid_forward(x)
    with pytest.raises(TypeError, match=r"^dropout: x must hold floating-point numbers, got "):
        ops.dropout_forward(x, p=0.3, rng=np.random.default_rng(0))
