"""Max-pooling and average pooling against loops, torch, difference quotients, planted mistakes."""

import naive
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import agree, derivative, host

from cnnlib import ops
from cnnlib.ops import pool

RNG = np.random.default_rng(0)
PLACES = [((2, 2), (2, 2), (0, 0)), ((3, 2), (2, 1), (1, 1)), ((1, 1), (2, 3), (0, 0)),
          ((4, 3), (3, 4), (2, 1))]  # fmt: skip


def torch_pair(function, x, dy=None):
    leaf = torch.tensor(host(x), requires_grad=True)
    y = function(leaf)
    dy = torch.ones_like(y) if dy is None else torch.tensor(dy)
    return y.detach(), torch.autograd.grad(y, leaf, dy)[0]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_loops_libraries_and_torch_agree(xp, place):
    kernel, stride, padding = place
    x = RNG.integers(-2, 3, (2, 3, 9, 8)).astype(float)  # many ties
    options = {"stride": stride, "padding": padding}
    y, cache = ops.max_pool2d_forward(xp(x), kernel, **options)
    dy = RNG.standard_normal(tuple(y.shape))
    dx = ops.max_pool2d_backward(xp(dy), cache)
    for want in (
        naive.max_pool2d(x, dy, kernel, stride, padding),
        torch_pair(lambda t: F.max_pool2d(t, kernel, **options), x, dy),
    ):
        agree(y, want[0])
        agree(dx, want[1])
    for inside in (True, False):
        more = options | {"count_include_pad": inside}
        y, cache = ops.avg_pool2d_forward(xp(x), kernel, **more)
        dx = ops.avg_pool2d_backward(xp(dy), cache)
        for want in (
            naive.avg_pool2d(x, dy, kernel, stride, padding, inside),
            torch_pair(lambda t, m=more: F.avg_pool2d(t, kernel, **m), x, dy),
        ):
            agree(y, want[0])
            agree(dx, want[1])


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_any_fitting_shape_and_option_equals_torch(data):
    size, flag = st.integers(1, 4), st.booleans()
    kernel, stride = data.draw(st.tuples(size, size)), data.draw(st.tuples(size, size))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    n, dilation, ceil_mode = data.draw(st.integers(1, 3)), data.draw(size), data.draw(flag)
    h, w = (dilation * (k - 1) + data.draw(st.integers(1, 7)) for k in kernel)
    x = RNG.integers(-2, 3, (n, 2, h, w)).astype(float)
    options = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    y, cache = ops.max_pool2d_forward(x, kernel, dilation=dilation, **options)
    dy = RNG.standard_normal(y.shape)
    want = torch_pair(lambda t: F.max_pool2d(t, kernel, dilation=dilation, **options), x, dy)
    agree(y, want[0])
    agree(ops.max_pool2d_backward(dy, cache), want[1])

    options["count_include_pad"] = data.draw(flag)
    options["divisor_override"] = data.draw(st.sampled_from([None, 3, -2]))
    y, cache = ops.avg_pool2d_forward(x, kernel, **options)
    dy = RNG.standard_normal(y.shape)
    want = torch_pair(lambda t: F.avg_pool2d(t, kernel, **options), x, dy)
    agree(y, want[0])
    agree(ops.avg_pool2d_backward(dy, cache), want[1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_unusual_numbers_go_where_torch_sends_them(xp, value):
    x = RNG.standard_normal((2, 3, 9, 8))
    x[RNG.random(x.shape) < 0.4] = value
    x[0, 0] = value
    for options in ({"stride": 2, "padding": 1}, {"stride": 1}, {"dilation": 2, "padding": 1}):
        y, cache = ops.max_pool2d_forward(xp(x), 3, **options)
        dy = RNG.standard_normal(tuple(y.shape))
        want = torch_pair(lambda t, o=options: F.max_pool2d(t, 3, **o), x, dy)
        agree(y, want[0])
        agree(ops.max_pool2d_backward(xp(dy), cache), want[1])


def test_infinite_upstream_gradient_stays_with_the_maximum(xp):
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    _, cache = ops.max_pool2d_forward(xp(x), 2)
    dx = ops.max_pool2d_backward(xp(np.full((1, 1, 1, 1), np.inf)), cache)
    assert host(dx).tolist() == [[[[0.0, 0.0], [0.0, np.inf]]]]


def test_the_first_of_equal_maxima_gets_the_gradient(xp):
    _, cache = ops.max_pool2d_forward(xp(np.zeros((1, 1, 4, 4))), 2)
    dx = ops.max_pool2d_backward(xp(np.ones((1, 1, 2, 2))), cache)
    assert host(dx)[0, 0].tolist() == [[1, 0, 1, 0], [0] * 4, [1, 0, 1, 0], [0] * 4]


def test_a_window_of_more_pixels_than_a_byte_counts(xp):
    x = np.zeros((1, 2, 18, 17))
    x[0, 0, 15, 14], x[0, 1, 16, 15] = 1, np.nan  # pixels 254 and 271 of a window 17x16
    dy = np.arange(1.0, 9.0).reshape(1, 2, 2, 2)
    _, cache = ops.max_pool2d_forward(xp(x), (17, 16), stride=1)
    dx = ops.max_pool2d_backward(xp(dy), cache)
    want = torch_pair(lambda t: F.max_pool2d(t, (17, 16), stride=1), x, dy)[1]
    agree(dx, want)
    assert host(dx)[0, 0, 15, 14] == 10  # all four windows


def test_the_four_by_four_example():
    x = np.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    assert ops.max_pool2d_forward(x, 2)[0][0, 0].tolist() == [[6, 8], [14, 16]]
    assert ops.avg_pool2d_forward(x, 2)[0][0, 0].tolist() == [[3.5, 5.5], [11.5, 13.5]]


PAIRS = {
    "max_pool2d": (ops.max_pool2d_forward, ops.max_pool2d_backward),
    "avg_pool2d": (ops.avg_pool2d_forward, ops.avg_pool2d_backward),
}


def check(name, x, dy):
    forward, backward = PAIRS[name]
    options = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 1)}
    _, cache = forward(x, **options)
    want = derivative(lambda a: np.sum(dy * forward(a, **options)[0]), x)
    agree(backward(dy, cache), want, 1e-6, 1e-7)


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_equal_difference_quotients_and_mistakes_do_not(monkeypatch, name):
    x, dy = RNG.standard_normal((2, 2, 7, 5)), RNG.standard_normal((2, 2, 4, 6))
    check(name, x, dy)
    taps, winners = pool.taps, pool._winners
    mistakes = {
        "last tap forgotten": ("taps", lambda *a: list(taps(*a))[:-1]),
        "shifted by one row": (
            "_crop",
            lambda p, a, w: np.roll(p, 1, axis=2)[:, :, 1 : 1 + a.shape[2], 1 : 1 + a.shape[3]],
        ),
    }
    if name == "max_pool2d":
        mistakes["next pixel wins"] = ("_winners", lambda *a: (winners(*a) + 1) % 6)
    for attribute, wrong in mistakes.values():
        with monkeypatch.context() as m:
            m.setattr(pool, attribute, wrong)
            with pytest.raises((AssertionError, IndexError)):
                check(name, x, dy)


def test_a_tie_broken_wrongly_is_caught(monkeypatch):
    taps = pool.taps
    x, dy = np.zeros((1, 1, 4, 4)), RNG.standard_normal((1, 1, 2, 2))
    _, cache = ops.max_pool2d_forward(x, 2)
    want = naive.max_pool2d(x, dy, (2, 2), (2, 2), (0, 0))[1]
    agree(ops.max_pool2d_backward(dy, cache), want)
    monkeypatch.setattr(pool, "taps", lambda *a: reversed(list(taps(*a))))
    with pytest.raises(AssertionError):
        agree(ops.max_pool2d_backward(dy, cache), want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PAIRS)
def test_dtype_and_arguments_stay_and_no_images_are_fine(xp, name, dtype):
    forward, backward = PAIRS[name]
    before = RNG.standard_normal((2, 3, 6, 5)).astype(dtype)
    x = xp(before)
    for options in ({"padding": 1}, {"stride": 1, "padding": (0, 1)}):
        y, cache = forward(x, (2, 3) if options["padding"] != 1 else 3, **options)
        dy = xp(np.ones(tuple(y.shape), dtype))
        assert host(y).dtype == host(backward(dy, cache)).dtype == dtype
    assert np.array_equal(host(x), before)
    assert np.array_equal(host(dy), np.ones(dy.shape))
    y, cache = forward(xp(before[:0]), 2)
    assert tuple(y.shape) == (0, 3, 3, 2)
    assert tuple(backward(y, cache).shape) == (0, 3, 6, 5)


def test_y_is_never_a_view_of_x():
    x = np.ones((2, 1, 3, 3))
    for forward, backward in PAIRS.values():
        y, cache = forward(x, 1)
        dy = np.ones_like(x)
        backward(dy, cache)[...] = 7
        y[...] = 5
        assert np.all(x == 1)
        assert np.all(dy == 1)


def test_a_maximum_that_was_overwritten_is_an_error(xp):
    y, cache = ops.max_pool2d_forward(xp(np.ones((1, 1, 4, 4))), 2)
    y[0, 0, 1, 1] = 5
    with pytest.raises(ValueError, match=r"^max_pool2d_backward: y is no longer what max_pool2d_f"):
        ops.max_pool2d_backward(xp(np.ones((1, 1, 2, 2))), cache)


X = np.zeros((2, 3, 6, 7))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(
    ("x", "options", "text"),
    [
        (X[0], {}, "x must have 4 axes (N, C, H, W), got shape (3, 6, 7)"),
        (X, {"kernel_size": 0}, "kernel_size must be at least 1, got 0"),
        (X, {"stride": (1, 0)}, "stride must be at least 1, got (1, 0)"),
        (X, {"padding": -1}, "padding must not be negative, got -1"),
        (X, {"padding": 2}, "padding must be at most half the kernel: padding 2, kernel_size 2"),
        (X, {"kernel_size": (7, 2)}, "the kernel does not fit the padded input: "
         "x (2, 3, 6, 7), kernel (7, 2), padding ((0, 0), (0, 0)), dilation (1, 1)"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(name, x, options, text):
    with pytest.raises(ValueError) as caught:
        PAIRS[name][0](x, **({"kernel_size": 2} | options))
    assert str(caught.value) == f"{name}: {text}"


def test_other_errors():
    with pytest.raises(ValueError, match=r"^avg_pool2d: divisor_override must not be 0$"):
        ops.avg_pool2d_forward(X, 2, divisor_override=0)
    with pytest.raises(
        TypeError, match=r"^avg_pool2d: x must hold floating-point numbers, got int"
    ):
        ops.avg_pool2d_forward(X.astype(int), 2)
    assert ops.max_pool2d_forward(X.astype(int) - 3, 2, padding=1)[0].max() == -3
    for forward, backward in PAIRS.values():
        y, cache = forward(X, 2)
        with pytest.raises(ValueError, match=r"dy must have shape \(2, 3, 3, 3\)"):
            backward(y[1:], cache)


def test_a_dilated_window_that_meets_the_border_alone(xp):
    options = {"stride": 1, "padding": (0, 1), "dilation": (1, 3)}
    y, cache = ops.max_pool2d_forward(xp(np.array([[[[1.0, 2.0]]]])), (1, 2), **options)
    assert host(y).tolist() == [[[[-np.inf]]]]
    dx = ops.max_pool2d_backward(xp(np.ones((1, 1, 1, 1))), cache)
    assert host(dx).tolist() == [[[[0, 0]]]]


def test_whole_numbers_have_a_maximum_but_no_gradient(xp):
    y, cache = ops.max_pool2d_forward(xp(np.arange(16).reshape(1, 1, 4, 4)), 2, padding=1)
    assert host(y)[0, 0].tolist() == [[0, 2, 3], [8, 10, 11], [12, 14, 15]]
    with pytest.raises(TypeError, match=r"^max_pool2d_backward: x must hold floating-point numb"):
        ops.max_pool2d_backward(y, cache)
