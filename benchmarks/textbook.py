"""Convolution and pooling as textbooks and courses write them in NumPy, to compare cnnlib with.

Three well-known algorithms, written afresh for the comparison. Each pair has the form of
cnnlib.ops: ``y, cache = f_forward(...)`` and ``gradients = f_backward(dy, cache)``.

- loops: one multiplication at a time.
- im2col: arrays of indices gather all windows of the batch into one matrix; the gradient is
  scattered back with ``np.add.at``.
- windows: ``sliding_window_view`` and ``tensordot``; the gradient is added back tap by tap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray


def padded_with_zeros(x: Array, padding: int) -> Array:
    """x (N, C, H, W) with a border of zeros."""
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def without_border(padded: Array, padding: int) -> Array:
    """The inverse of padded_with_zeros."""
    _, _, h, w = padded.shape
    return padded[:, :, padding : h - padding, padding : w - padding]


def loops_conv2d_forward(
    x: Array, weight: Array, bias: Array, *, stride: int = 1, padding: int = 0
) -> tuple[Array, Any]:
    """Seven loops."""
    padded = padded_with_zeros(x, padding)
    n, _, h, w = padded.shape
    o, c, kh, kw = weight.shape
    oh, ow = (h - kh) // stride + 1, (w - kw) // stride + 1
    y = np.zeros((n, o, oh, ow), x.dtype)
    for image in range(n):
        for kernel in range(o):
            for p in range(oh):
                for q in range(ow):
                    total = bias[kernel]
                    for channel in range(c):
                        for i in range(kh):
                            for j in range(kw):
                                pixel = padded[image, channel, p * stride + i, q * stride + j]
                                total += weight[kernel, channel, i, j] * pixel
                    y[image, kernel, p, q] = total
    return y, (padded, weight, stride, padding)


def loops_conv2d_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
    """The same seven loops; each product hands dy to its two factors."""
    padded, weight, stride, padding = cache
    n, o, oh, ow = dy.shape
    _, c, kh, kw = weight.shape
    dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
    for image in range(n):
        for kernel in range(o):
            for p in range(oh):
                for q in range(ow):
                    share = dy[image, kernel, p, q]
                    for channel in range(c):
                        for i in range(kh):
                            for j in range(kw):
                                row, column = p * stride + i, q * stride + j
                                pixel = padded[image, channel, row, column]
                                dweight[kernel, channel, i, j] += share * pixel
                                part = share * weight[kernel, channel, i, j]
                                dpadded[image, channel, row, column] += part
    return without_border(dpadded, padding), dweight, dy.sum(axis=(0, 2, 3))


def window_indices(
    channels: int, h: int, w: int, kh: int, kw: int, stride: int
) -> tuple[Array, Array, Array]:
    """Channel, row and column of each pixel in the matrix of windows (C kH kW, OH OW)."""
    oh, ow = (h - kh) // stride + 1, (w - kw) // stride + 1
    channel, i, j = np.indices((channels, kh, kw)).reshape(3, -1, 1)
    p, q = np.indices((oh, ow)).reshape(2, 1, -1)
    return channel, i + stride * p, j + stride * q


def im2col_conv2d_forward(
    x: Array, weight: Array, bias: Array, *, stride: int = 1, padding: int = 0
) -> tuple[Array, Any]:
    """Gather the windows of the whole batch by index arrays, then one product."""
    padded = padded_with_zeros(x, padding)
    n, c, h, w = padded.shape
    o, _, kh, kw = weight.shape
    index = window_indices(c, h, w, kh, kw, stride)
    columns = padded[:, *index]  # (N, K, P)
    columns = columns.transpose(1, 0, 2).reshape(c * kh * kw, -1)  # (K, N P)
    y = weight.reshape(o, -1) @ columns + bias[:, None]  # (O, N P)
    y = y.reshape(o, n, (h - kh) // stride + 1, -1).transpose(1, 0, 2, 3)
    return y, (padded.shape, index, columns, weight, padding)


def im2col_conv2d_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Two products, then scatter the columns' gradients with np.add.at."""
    shape, index, columns, weight, padding = cache
    n, o = dy.shape[:2]
    flat = dy.transpose(1, 0, 2, 3).reshape(o, -1)  # (O, N P)
    dweight = (flat @ columns.T).reshape(weight.shape)
    dcolumns = weight.reshape(o, -1).T @ flat  # (K, N P)
    dpadded = np.zeros(shape, dy.dtype)
    dcolumns = dcolumns.reshape(len(columns), n, -1).transpose(1, 0, 2)  # (N, K, P)
    np.add.at(dpadded, (slice(None), *index), dcolumns)
    return without_border(dpadded, padding), dweight, flat.sum(axis=1)


def windows_of(x: Array, kernel: tuple[int, int], stride: int) -> Array:
    """All windows as a view (N, C, OH, OW, kH, kW)."""
    return sliding_window_view(x, kernel, axis=(2, 3))[:, :, ::stride, ::stride]


def under_tap(dpadded: Array, i: int, j: int, stride: int, size: tuple[int, int]) -> Array:
    """The pixels that kernel element (i, j) meets, (N, C, OH, OW)."""
    oh, ow = size
    rows = slice(i, i + stride * (oh - 1) + 1, stride)
    return dpadded[:, :, rows, slice(j, j + stride * (ow - 1) + 1, stride)]


def windows_conv2d_forward(
    x: Array, weight: Array, bias: Array, *, stride: int = 1, padding: int = 0
) -> tuple[Array, Any]:
    """A view of the windows and tensordot, which copies them into one matrix."""
    padded = padded_with_zeros(x, padding)
    view = windows_of(padded, weight.shape[2:], stride)
    y = np.tensordot(view, weight, axes=((1, 4, 5), (1, 2, 3))) + bias  # (N, OH, OW, O)
    return y.transpose(0, 3, 1, 2), (padded.shape, view, weight, stride, padding)


def windows_conv2d_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Two tensordots; the second's result is added back kernel element by kernel element."""
    shape, view, weight, stride, padding = cache
    dweight = np.tensordot(dy, view, axes=((0, 2, 3), (0, 2, 3)))  # (O, C, kH, kW)
    dview = np.tensordot(weight, dy, axes=(0, 1))  # (C, kH, kW, N, OH, OW)
    dpadded = np.zeros(shape, dy.dtype)
    for i, j in np.ndindex(weight.shape[2:]):
        target = under_tap(dpadded, i, j, stride, dy.shape[2:])
        target += dview[:, i, j].transpose(1, 0, 2, 3)
    return without_border(dpadded, padding), dweight, dy.sum(axis=(0, 2, 3))


def im2col_pool(x: Array, kernel: int, stride: int) -> tuple[Array, Array, Any]:
    """The windows of single channels as columns (k k, N C P), and what to undo it with."""
    n, c, h, w = x.shape
    index = window_indices(1, h, w, kernel, kernel, stride)
    columns = x.reshape(n * c, 1, h, w)[:, *index]  # (N C, k k, P)
    columns = columns.transpose(1, 0, 2).reshape(kernel * kernel, -1)
    size = (n, c, (h - kernel) // stride + 1, (w - kernel) // stride + 1)
    return columns, np.arange(columns.shape[1]), (x.shape, size, index)


def im2col_unpool(dcolumns: Array, place: Any) -> Array:
    """Scatter the gradients of the columns with np.add.at."""
    (n, c, h, w), _, index = place
    dx = np.zeros((n * c, 1, h, w), dcolumns.dtype)
    dcolumns = dcolumns.reshape(len(dcolumns), n * c, -1).transpose(1, 0, 2)
    np.add.at(dx, (slice(None), *index), dcolumns)
    return dx.reshape(n, c, h, w)


def im2col_max_pool2d_forward(x: Array, kernel: int, *, stride: int) -> tuple[Array, Any]:
    """Columns, argmax, pick."""
    columns, each, place = im2col_pool(x, kernel, stride)
    best = columns.argmax(axis=0)
    return columns[best, each].reshape(place[1]), (best, each, columns.shape, place)


def im2col_max_pool2d_backward(dy: Array, cache: Any) -> Array:
    """dy goes to the row of each column that held the maximum."""
    best, each, shape, place = cache
    dcolumns = np.zeros(shape, dy.dtype)
    dcolumns[best, each] = dy.ravel()
    return im2col_unpool(dcolumns, place)


def im2col_avg_pool2d_forward(x: Array, kernel: int, *, stride: int) -> tuple[Array, Any]:
    """Columns, mean."""
    columns, _, place = im2col_pool(x, kernel, stride)
    return columns.mean(axis=0).reshape(place[1]), (len(columns), place)


def im2col_avg_pool2d_backward(dy: Array, cache: Any) -> Array:
    """dy is spread evenly over each column."""
    count, place = cache
    return im2col_unpool(np.repeat(dy.reshape(1, -1) / count, count, axis=0), place)


def windows_max_pool2d_forward(x: Array, kernel: int, *, stride: int) -> tuple[Array, Any]:
    """The maximum over the two window axes of the view."""
    y = windows_of(x, (kernel, kernel), stride).max(axis=(4, 5))
    return y, (x, y, kernel, stride)


def windows_max_pool2d_backward(dy: Array, cache: Any) -> Array:
    """dy goes to every pixel that equals the maximum: right only where no two are equal."""
    x, y, kernel, stride = cache
    dx = np.zeros_like(x)
    for i, j in np.ndindex(kernel, kernel):
        target = under_tap(dx, i, j, stride, y.shape[2:])
        target += dy * (under_tap(x, i, j, stride, y.shape[2:]) == y)
    return dx


def windows_avg_pool2d_forward(x: Array, kernel: int, *, stride: int) -> tuple[Array, Any]:
    """The mean over the two window axes of the view."""
    return windows_of(x, (kernel, kernel), stride).mean(axis=(4, 5)), (x.shape, kernel, stride)


def windows_avg_pool2d_backward(dy: Array, cache: Any) -> Array:
    """dy is spread evenly, kernel element by kernel element."""
    shape, kernel, stride = cache
    dx = np.zeros(shape, dy.dtype)
    for i, j in np.ndindex(kernel, kernel):
        target = under_tap(dx, i, j, stride, dy.shape[2:])
        target += dy / kernel**2
    return dx
