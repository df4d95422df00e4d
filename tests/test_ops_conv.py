"""conv2d against loops, torch, difference quotients and planted mistakes."""

import array_api_strict
import naive
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import agree, derivative, host

from cnnlib import ops
from cnnlib.ops import conv

RNG = np.random.default_rng(0)
CASES = [
    {},
    {"stride": (2, 3), "padding": (1, 2)},
    {"padding": "same", "dilation": (2, 1)},
    {"padding": "valid", "stride": 2},
    {"stride": 3, "padding": 2, "dilation": 2, "groups": 2},
    {"padding": (0, 3), "groups": 2},  # the border is wider than the kernel's reach needs
    {"padding": (2, 4)},
]


def draw(groups=1, dtype=np.float64, n=2, h=11, w=13, kernel=(3, 4)):
    """Arrays with all sizes different."""
    x = RNG.standard_normal((n, 2 * groups, h, w)).astype(dtype)
    weight = RNG.standard_normal((3 * groups, 2, *kernel)).astype(dtype)
    return x, weight, RNG.standard_normal(3 * groups).astype(dtype)


def pads(x, weight, padding=0, dilation=1):
    pair = (dilation, dilation) if isinstance(dilation, int) else dilation
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(pair, weight.shape[2:], strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)
    if padding == "valid":
        padding = 0
    return tuple((p, p) for p in ((padding, padding) if isinstance(padding, int) else padding))


def pair(value):
    return (value, value) if isinstance(value, int) else value


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("options", CASES, ids=str)
def test_loops_libraries_and_torch_agree(xp, options):
    arrays = draw(options.get("groups", 1))
    y, cache = ops.conv2d_forward(*map(xp, arrays), **options)
    dy = RNG.standard_normal(tuple(y.shape))
    grads = ops.conv2d_backward(xp(dy), cache)

    x, weight, bias = arrays
    place = (
        pair(options.get("stride", 1)),
        pads(x, weight, options.get("padding", 0), options.get("dilation", 1)),
        pair(options.get("dilation", 1)),
        options.get("groups", 1),
    )
    agree(y, naive.conv2d(x, weight, bias, *place))
    for got, want in zip(grads, naive.conv2d_backward(dy, x, weight, *place), strict=True):
        agree(got, want)
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = F.conv2d(*leaves, **options)
    agree(y, out.detach())
    for got, want in zip(grads, torch.autograd.grad(out, leaves, torch.tensor(dy)), strict=True):
        agree(got, want)


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(st.data())
def test_any_fitting_shape_equals_torch(data):
    size = st.integers(1, 4)
    groups, n = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 3))
    kernel, stride, dilation = (data.draw(st.tuples(size, size)) for _ in range(3))
    padding = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    h, w = (d * (k - 1) + data.draw(st.integers(1, 7))
            for d, k in zip(dilation, kernel, strict=True))  # fmt: skip
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    arrays = draw(groups, n=n, h=h, w=w, kernel=kernel)
    y, cache = ops.conv2d_forward(*arrays, **options)
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = F.conv2d(*leaves, **options)
    agree(y, out.detach())
    dy = RNG.standard_normal(y.shape)
    want = torch.autograd.grad(out, leaves, torch.tensor(dy))
    for got, right in zip(ops.conv2d_backward(dy, cache), want, strict=True):
        agree(got, right)
    for axis, n_in in enumerate((h, w)):
        assert y.shape[2 + axis] == ops.output_size(
            n_in, kernel[axis], stride=stride[axis], padding=padding[axis], dilation=dilation[axis]
        )


@pytest.mark.parametrize("shape", [(3, 2, 40, 37), (7, 2, 5, 6)], ids=["rows", "images"])
def test_work_cut_into_many_blocks_gives_the_same(monkeypatch, shape):
    """Every image and every few rows a block of their own, the last ones not full."""

    def small(x, depth, window):
        n, (oh, ow) = x.shape[0], window.size
        many, high = (1, 4) if oh > 10 else (3, oh)
        for image in range(0, n, many):
            for row in range(0, oh, high):
                end = min(row + high, oh)
                yield slice(image, min(image + many, n)), (row, end), slice(row * ow, end * ow)

    _, weight, bias = draw()
    x = RNG.standard_normal(shape)
    for options in ({"padding": 1}, {"stride": 2}):
        y, cache = ops.conv2d_forward(x, weight, bias, **options)
        dy = RNG.standard_normal(y.shape)
        grads = ops.conv2d_backward(dy, cache)
        with monkeypatch.context() as m:
            m.setattr(conv, "_blocks", small)
            agree(ops.conv2d_forward(x, weight, bias, **options)[0], y)
            for got, want in zip(ops.conv2d_backward(dy, cache), grads, strict=True):
                agree(got, want)


def test_blocks_of_a_large_image_equal_torch():
    x, weight, bias = (a.astype(np.float32) for a in draw(h=130, w=140, n=3))
    weight = np.tile(weight, (2, 20, 2, 1))[:, :40]
    x, bias = np.tile(x, (1, 20, 1, 1)), np.tile(bias, 2)
    y, _ = ops.conv2d_forward(x, weight, bias, padding=2)
    agree(y, F.conv2d(*map(torch.tensor, (x, weight, bias)), padding=2), 1e-4, 1e-3)


@pytest.mark.parametrize("options", [CASES[0], CASES[1], CASES[4]], ids=str)
def test_gradients_equal_difference_quotients(options):
    arrays = draw(options.get("groups", 1), n=1, h=9, w=8)
    y, cache = ops.conv2d_forward(*arrays, **options)
    dy = RNG.standard_normal(y.shape)
    for k, gradient in enumerate(ops.conv2d_backward(dy, cache)):

        def f(a, k=k):
            return np.sum(dy * ops.conv2d_forward(*arrays[:k], a, *arrays[k + 1 :], **options)[0])

        agree(gradient, derivative(f, arrays[k]), 1e-6, 1e-7)


BROKEN = {
    "dx: kernel not turned": ("turned", lambda xp, w, g: np.swapaxes(w, 0, 1).copy(), {}),
    "dx: border too early": (
        "_full_border",
        lambda window: ((3, 1), (3, 3)),
        {"kernel": (3, 4)},
    ),
    "dx: taps exchanged": (
        "taps",
        lambda *a: [(i, j, w, h) for i, j, h, w in ops.geometry.taps(*a)],
        {"stride": 2},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_planted_mistakes_in_dx_are_caught(monkeypatch, name):
    attribute, wrong, options = BROKEN[name]
    x, weight, bias = draw(n=1, h=9, w=9)
    stride = options.get("stride", 1)
    y, cache = ops.conv2d_forward(x, weight, bias, stride=stride)
    dy = RNG.standard_normal(y.shape)
    want = derivative(
        lambda a: np.sum(dy * ops.conv2d_forward(a, weight, bias, stride=stride)[0]), x
    )
    agree(ops.conv2d_backward(dy, cache)[0], want, 1e-6, 1e-7)
    monkeypatch.setattr(conv, attribute, wrong)
    with pytest.raises((AssertionError, ValueError)):
        agree(ops.conv2d_backward(dy, cache)[0], want, 1e-6, 1e-7)


@pytest.mark.parametrize("wrong", ["flipped", "one image", "no bias sum over rows"])
def test_planted_mistakes_in_dweight_and_dbias_are_caught(wrong):
    arrays = draw()
    y, cache = ops.conv2d_forward(*arrays, padding=1)
    dy = RNG.standard_normal(y.shape)
    _, dweight, dbias = ops.conv2d_backward(dy, cache)
    right = naive.conv2d_backward(dy, *arrays[:2], (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    agree(dweight, right[1])
    if wrong == "flipped":
        dweight = dweight[:, :, ::-1, ::-1]
    elif wrong == "one image":
        dy = np.where(np.arange(2)[:, None, None, None] == 0, dy, 0)
        dweight = ops.conv2d_backward(dy, cache)[1]
    else:
        dweight, right = dbias - dy[:, :, 0].sum((0, 2)), (None, right[2])
    with pytest.raises(AssertionError):
        agree(dweight, right[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays_and_arguments_too(xp, dtype):
    before = draw(dtype=dtype)
    arrays = [xp(a) for a in before]
    y, cache = ops.conv2d_forward(*arrays, padding=1)
    grads = ops.conv2d_backward(xp(host(y)), cache)
    assert all(host(a).dtype == dtype for a in (y, *grads))
    for old, array in zip(before, arrays, strict=True):
        assert np.array_equal(old, host(array))


def test_no_bias_no_images_one_by_one_kernel_and_integers():
    x, weight, _ = draw()
    y, cache = ops.conv2d_forward(x, weight)
    assert ops.conv2d_backward(np.ones_like(y), cache)[2] is None
    y, cache = ops.conv2d_forward(x[:0], weight)
    dx, dweight, _ = ops.conv2d_backward(y, cache)
    assert y.shape == (0, 3, 9, 10)
    assert dx.shape == (0, 2, 11, 13)
    assert not dweight.any()
    y, _ = ops.conv2d_forward(x, weight[:, :, :1, :1])
    agree(y, np.einsum("oc,nchw->nohw", weight[:, :, 0, 0], x))
    nine = np.arange(1, 10).reshape(1, 1, 3, 3)
    assert ops.conv2d_forward(nine, nine)[0].item() == 285
    assert ops.conv2d_forward(nine, nine[:, :, ::-1, ::-1])[0].item() == 165


X, W = np.zeros((2, 4, 8, 9)), np.zeros((6, 4, 3, 3))
ERRORS = [
    (X[0], W, {}, "conv2d: x must have 4 axes (N, C, H, W), got shape (4, 8, 9)"),
    (X, W[0], {}, "conv2d: weight must have 4 axes (O, C / groups, kH, kW), got shape (4, 3, 3)"),
    (X[:, :3], W, {}, "conv2d: x has 3 channels but weight expects 4: x (2, 3, 8, 9), "
     "weight (6, 4, 3, 3)"),
    (X, W, {"groups": 4}, "conv2d: groups must divide x's 4 channels and weight's 6 kernels: "
     "groups 4, x (2, 4, 8, 9), weight (6, 4, 3, 3)"),
    (X, W, {"groups": 0}, "conv2d: groups must be an int of at least 1, got 0"),
    (X, W, {"bias": np.zeros(5)}, "conv2d: bias must have shape (6,), got (5,)"),
    (X, W, {"stride": 0}, "conv2d: stride must be at least 1, got 0"),
    (X, W, {"stride": (1, 2, 3)}, "conv2d: stride must be an int or a pair, got (1, 2, 3)"),
    (X, W, {"dilation": (1, -1)}, "conv2d: dilation must be at least 1, got (1, -1)"),
    (X, W, {"padding": -1}, "conv2d: padding must not be negative, got -1"),
    (X, W, {"padding": "full"}, "conv2d: padding must be 'same', 'valid', an int or a pair: "
     "'full'"),
    (X, W, {"padding": "same", "stride": 2}, "conv2d: padding='same' needs stride 1, got 2"),
    (X, W, {"dilation": 5}, "conv2d: the kernel does not fit the padded input: x (2, 4, 8, 9), "
     "kernel (3, 3), padding ((0, 0), (0, 0)), dilation (5, 5)"),
    (X, W[:0], {}, "conv2d: weight must not be empty: x (2, 4, 8, 9), weight (0, 4, 3, 3)"),
]  # fmt: skip
TYPE_ERRORS = [
    (X.tolist(), W, {}, "conv2d: x must be an array (NumPy, torch, ...), got list"),
    (X, torch.zeros(6, 4, 3, 3), {}, "conv2d: x and weight come from different libraries: "
     "numpy and torch"),
    (X, array_api_strict.asarray(W), {}, "conv2d: x and weight come from different libraries: "
     "numpy and array_api_strict._array_object"),
    (X, W.astype(np.float32), {}, "conv2d: x and weight must have the same dtype: "
     "float64 and float32"),
    (X, W, {"stride": 1.5}, "conv2d: stride must be an int or a pair, got 1.5"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "case"),
    [(ValueError, case) for case in ERRORS] + [(TypeError, case) for case in TYPE_ERRORS],
)
def test_errors_say_what_is_wrong(kind, case):
    x, weight, options, text = case
    with pytest.raises(kind) as caught:
        ops.conv2d_forward(x, weight, **options)
    assert str(caught.value) == text


def test_devices_must_match():
    with pytest.raises(ValueError, match="must be on the same device: cpu and meta"):
        ops.conv2d_forward(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 2, 2, device="meta"))


def test_upstream_gradient_must_fit():
    y, cache = ops.conv2d_forward(X, W)
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 6, 6, 7\), got \(2, 6, 6, 6\)"):
        ops.conv2d_backward(y[..., 1:], cache)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((3, 5, 1, 0, 1), "the kernel covers 5 pixels, more than the padded input's 3"),
        ((3, 5, 0, 0, 1), "stride must be at least 1, got 0"),
        ((3, 0, 1, 0, 1), "kernel must be at least 1, got 0"),
        ((3, 2, 1, -1, 1), "padding must not be negative, got -1"),
        ((3, 2, 1, 0, 0), "dilation must be at least 1, got 0"),
    ],
)
def test_output_size_errors(arguments, text):
    n, kernel, stride, padding, dilation = arguments
    with pytest.raises(ValueError, match=text):
        ops.output_size(n, kernel, stride=stride, padding=padding, dilation=dilation)
