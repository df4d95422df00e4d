"""winograd_conv2d against the matrices' defining identity, loops, torch and planted mistakes."""

import tracemalloc
from fractions import Fraction

import naive
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import agree, derivative, host

from cnnlib import ops
from cnnlib.ops import winograd

RNG = np.random.default_rng(0)
PADDINGS = [0, 1, 2, (0, 1), (2, 1), "same", "valid"]


def draw(n=2, c=3, h=9, w=11, o=4, dtype=np.float64):
    """Arrays with all sizes different."""
    shapes = ((n, c, h, w), (o, c, 3, 3), (o,))
    return [RNG.standard_normal(shape).astype(dtype) for shape in shapes]


def pads(padding):
    pair = {"same": (1, 1), "valid": (0, 0)}.get(padding, padding) if padding != 0 else (0, 0)
    return tuple((p, p) for p in ((pair, pair) if isinstance(pair, int) else pair))


@pytest.mark.parametrize("tile", [2, 4])
def test_the_matrices_compute_a_correlation_in_exact_fractions(tile):
    """Unit vectors suffice: both sides are linear in the kernel and in the pixels."""
    forms = winograd.FORMS[tile]
    exact = [[[Fraction(v).limit_denominator(24) for v in row] for row in m] for m in forms]
    a, g, b = exact
    assert all(float(v) == w for row, given in zip(g, forms.g, strict=True)
               for v, w in zip(row, given, strict=True))  # fmt: skip
    side = tile + 2
    for output in range(tile):
        for tap in range(3):
            for pixel in range(side):
                total = sum(a[output][k] * g[k][tap] * b[k][pixel] for k in range(side))
                assert total == (1 if pixel == output + tap else 0)


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("padding", PADDINGS, ids=str)
def test_loops_libraries_and_torch_agree(xp, padding, tile):
    x, weight, bias = arrays = draw()
    y, cache = ops.winograd_conv2d_forward(*map(xp, arrays), padding=padding, tile=tile)
    dy = RNG.standard_normal(tuple(y.shape))
    grads = ops.winograd_conv2d_backward(xp(dy), cache)
    place = ((1, 1), pads(padding), (1, 1), 1)
    agree(y, naive.conv2d(x, weight, bias, *place))
    for got, want in zip(grads, naive.conv2d_backward(dy, x, weight, *place), strict=True):
        agree(got, want)
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = F.conv2d(*leaves, padding=padding)
    agree(y, out.detach())
    for got, want in zip(grads, torch.autograd.grad(out, leaves, torch.tensor(dy)), strict=True):
        agree(got, want)


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_any_shape_equals_conv2d(data):
    small, padding = st.integers(1, 4), data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    n, c, o = data.draw(st.integers(0, 3)), data.draw(small), data.draw(small)
    h, w = (max(1, 3 - 2 * p) + data.draw(st.integers(0, 9)) for p in padding)
    arrays, tile = draw(n, c, h, w, o), data.draw(st.sampled_from([2, 4]))
    y, cache = ops.winograd_conv2d_forward(*arrays, padding=padding, tile=tile)
    want, plain = ops.conv2d_forward(*arrays, padding=padding)
    agree(y, want)
    dy = RNG.standard_normal(y.shape)
    expected = ops.conv2d_backward(dy, plain)
    for got, right in zip(ops.winograd_conv2d_backward(dy, cache), expected, strict=True):
        agree(got, right)


@pytest.mark.parametrize("size", [5, 17])
@pytest.mark.parametrize("n", [1, 7])
def test_tiles_in_many_blocks_give_the_same(monkeypatch, n, size):
    """Blocks of a few images, or of some rows of one image, the last ones not full."""
    arrays = draw(n=n, h=size, w=size, c=2)
    y, cache = ops.winograd_conv2d_forward(*arrays, padding=1, tile=2)
    dy = RNG.standard_normal(y.shape)
    grads = ops.winograd_conv2d_backward(dy, cache)
    blocks = []
    whole = winograd._tiles

    def counted(*arguments):
        for block in whole(*arguments):
            blocks.append(block[:2])
            yield block

    monkeypatch.setattr(winograd, "FEWEST", 20)
    monkeypatch.setattr(winograd, "BUDGET", 1)
    monkeypatch.setattr(winograd, "_tiles", counted)
    agree(ops.winograd_conv2d_forward(*arrays, padding=1, tile=2)[0], y)
    assert len(blocks) > (1 if n * size > 5 else 0)
    for got, want in zip(ops.winograd_conv2d_backward(dy, cache), grads, strict=True):
        agree(got, want)


def test_gradients_equal_difference_quotients():
    arrays = draw(n=1, c=2, h=5, w=6, o=2)
    y, cache = ops.winograd_conv2d_forward(*arrays, padding=1)
    dy = RNG.standard_normal(y.shape)
    for k, got in enumerate(ops.winograd_conv2d_backward(dy, cache)):

        def total(a, k=k):
            changed = [*arrays[:k], a, *arrays[k + 1 :]]
            return np.sum(dy * ops.winograd_conv2d_forward(*changed, padding=1)[0])

        agree(got, derivative(total, arrays[k]), 1e-6, 1e-7)


@pytest.mark.parametrize(("tile", "bound"), [(2, 4e-6), (4, 4e-5)])
def test_rounding_in_float32_stays_small(tile, bound):
    """The docstring's promise, on a layer of VGG's kind."""
    arrays = draw(2, 64, 28, 28, 32, np.float32)
    y, _ = ops.winograd_conv2d_forward(*arrays, padding=1, tile=tile)
    exact, _ = ops.conv2d_forward(*(a.astype(np.float64) for a in arrays), padding=1)
    assert y.dtype == np.float32
    assert np.abs(y - exact).max() < bound * np.abs(exact).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays_and_arguments_too(xp, dtype):
    before = draw(dtype=dtype)
    arrays = [xp(a) for a in before]
    y, cache = ops.winograd_conv2d_forward(*arrays, padding=1)
    grads = ops.winograd_conv2d_backward(xp(host(y)), cache)
    assert all(host(a).dtype == dtype for a in (y, *grads))
    for old, array in zip(before, arrays, strict=True):
        assert np.array_equal(old, host(array))


def test_no_bias_and_memory_in_order():
    x, weight, _ = draw()
    y, cache = ops.winograd_conv2d_forward(x, weight)
    assert y.flags.c_contiguous
    assert ops.winograd_conv2d_backward(np.ones_like(y), cache)[2] is None


@pytest.mark.parametrize("matrix", ["a", "g", "b"])
@pytest.mark.parametrize("tile", [2, 4])
def test_a_wrong_entry_in_a_matrix_is_caught(monkeypatch, tile, matrix):
    arrays = draw()
    want, _ = ops.conv2d_forward(*arrays)
    forms = winograd.FORMS[tile]
    wrong = np.array(getattr(forms, matrix), dtype=float)
    wrong[1, 1] *= -1
    monkeypatch.setitem(winograd.FORMS, tile, forms._replace(**{matrix: wrong}))
    with pytest.raises(AssertionError):
        agree(ops.winograd_conv2d_forward(*arrays, tile=tile)[0], want)


@pytest.mark.parametrize("wrong", ["kernels not turned", "rest of dy not cut", "dy of one image"])
def test_planted_mistakes_in_the_backward_pass_are_caught(monkeypatch, wrong):
    arrays = draw()
    y, cache = ops.winograd_conv2d_forward(*arrays, padding=1)
    dy = RNG.standard_normal(y.shape)
    right = naive.conv2d_backward(dy, *arrays[:2], (1, 1), ((1, 1), (1, 1)), (1, 1), 1)

    def compare(dy):
        for got, want in zip(ops.winograd_conv2d_backward(dy, cache), right, strict=True):
            agree(got, want)

    compare(dy)
    if wrong == "kernels not turned":
        monkeypatch.setattr(winograd, "turned", lambda xp, w, g: np.swapaxes(w, 0, 1).copy())
    elif wrong == "rest of dy not cut":
        honest = winograd.pad
        monkeypatch.setattr(winograd, "pad", lambda xp, x, p: honest(xp, x, p, 1.0))
    else:
        dy = np.where(np.arange(2)[:, None, None, None] == 0, dy, 0)
    with pytest.raises(AssertionError):
        compare(dy)


X, W = np.zeros((2, 4, 8, 9)), np.zeros((6, 4, 3, 3))
ERRORS = [
    (ValueError, X, W, {"tile": 3}, "winograd_conv2d: tile must be one of [2, 4], got 3"),
    (ValueError, X, W[..., :2], {}, "winograd_conv2d: weight must be (O, C, 3, 3) and padding at "
     "most 2, got weight (6, 4, 3, 2), padding 0"),
    (ValueError, X, W, {"padding": (1, 3)}, "winograd_conv2d: weight must be (O, C, 3, 3) and "
     "padding at most 2, got weight (6, 4, 3, 3), padding (1, 3)"),
    (ValueError, X[:, :3], W, {}, "winograd_conv2d: x has 3 channels but weight expects 4: "
     "x (2, 3, 8, 9), weight (6, 4, 3, 3)"),
    (ValueError, X[..., :2], W, {}, "winograd_conv2d: the kernel does not fit the padded input: "
     "x (2, 4, 8, 2), kernel (3, 3), padding ((0, 0), (0, 0)), dilation (1, 1)"),
    (TypeError, X.astype(int), W.astype(int), {}, "winograd_conv2d: x must hold floating-point "
     "numbers, got int64"),
    (TypeError, X, W.astype(np.float32), {}, "winograd_conv2d: x and weight must have the same "
     "dtype: float64 and float32"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "x", "weight", "options", "text"), ERRORS)
def test_errors_say_what_is_wrong(kind, x, weight, options, text):
    with pytest.raises(kind) as caught:
        ops.winograd_conv2d_forward(x, weight, **options)
    assert str(caught.value) == text


def test_upstream_gradient_must_fit():
    y, cache = ops.winograd_conv2d_forward(X, W)
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 6, 6, 7\), got \(2, 6, 6, 6\)"):
        ops.winograd_conv2d_backward(y[..., 1:], cache)


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("channels", [(1, 256), (256, 1)], ids=str)
def test_blocks_are_small_whichever_side_is_wide(tile, channels):
    c, o = channels
    x, weight = np.ones((1, c, 128, 128), np.float32), np.ones((o, c, 3, 3), np.float32)
    tracemalloc.start()
    y, cache = ops.winograd_conv2d_forward(x, weight, padding=1, tile=tile)
    forward = tracemalloc.get_traced_memory()[1] - y.nbytes
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    dx, *_ = ops.winograd_conv2d_backward(y, cache)
    backward = tracemalloc.get_traced_memory()[1] - before - dx.nbytes
    tracemalloc.stop()
    # Three buffers of a million numbers, and x once more with its border.
    assert max(forward, backward) < 4 * (4 * 2**20 + x.size + y.size)


@pytest.mark.parametrize("tile", [3, 4.0, "4", [4]])
def test_other_tiles_are_refused(tile):
    with pytest.raises(ValueError, match=r"tile must be one of \[2, 4\], got "):
        ops.winograd_conv2d_forward(np.ones((1, 1, 4, 4)), np.ones((1, 1, 3, 3)), tile=tile)
