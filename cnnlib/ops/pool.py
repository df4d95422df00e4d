"""Max-pooling and average pooling."""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from cnnlib._array import Array, is_floating, namespace, on_cpu, pad
from cnnlib.ops.geometry import Window, check_shape, line, pool_window, taps


class MaxPool2dCache(NamedTuple):
    """What max_pool2d_backward needs."""

    x: Array
    y: Array
    window: Window


class AvgPool2dCache(NamedTuple):
    """What avg_pool2d_backward needs: x for its shape, and the number each sum is divided by."""

    x: Array
    divisor: Any
    window: Window


def max_pool2d_forward(
    x: Array,
    kernel_size: Any,
    *,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Array, MaxPool2dCache]:
    r"""Keep the largest pixel of each window.

    .. math:: y_{ncpq} = \max_{i,j} x_{n,\,c,\,ps + id,\,qs + jd}

    The maximum over a window is the maximum over its columns of the maximum over its rows.

    Args:
        x: (N, C, H, W).
        kernel_size: window size, an int or a pair (height, width).
        stride: step between windows; kernel_size where None.
        padding: border of minus infinity, at most half the kernel (with its gaps, if dilated).
        dilation: distance between window elements.
        ceil_mode: True lets the last window hang over the end.

    Returns:
        y (N, C, OH, OW), and the cache for :func:`max_pool2d_backward`. NaN gives NaN.

    Raises:
        ValueError: x or the options do not fit together.

    Source: Scherer, Müller and Behnke (2010), section 3.
    """
    xp = namespace("max_pool2d", x=x)
    window = pool_window("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode)
    y = xp.empty((*x.shape[:2], *window.size), dtype=x.dtype, device=x.device)
    for images in _image_groups(x):
        padded = pad(xp, x[images, ...], window.pads, _lowest(xp, x))
        y[images, ...] = _separable(xp.maximum, padded, window)
    return y, MaxPool2dCache(x, y, window)


def max_pool2d_backward(dy: Array, cache: MaxPool2dCache) -> Array:
    r"""Gradient of max-pooling: all of dy goes to the pixel that was the maximum.

    .. math:: dx_{nchw} = \sum_{p,q} dy_{ncpq} \, [(h, w) \text{ is the first maximum of } (p, q)]

    First means row by row. Of several NaN in a window the last gets the gradient, as in torch.

    Args:
        dy: upstream gradient (N, C, OH, OW).
        cache: from :func:`max_pool2d_forward`.

    Returns:
        dx (N, C, H, W).

    Raises:
        ValueError: dy has another shape than y, or y holds a number that is not in its window.
        TypeError: x holds no floating-point numbers.

    Source: the chain rule; Goodfellow, Bengio and Courville (2016), section 9.3.
    """
    x, y, window = cache
    xp = namespace("max_pool2d_backward", x=x, dy=dy)
    check_shape("max_pool2d_backward", "dy", dy, y.shape)
    if not is_floating(xp, x):
        where = "max_pool2d_backward"
        raise TypeError(f"{where}: x must hold floating-point numbers, got {x.dtype}")
    dx = xp.zeros(x.shape, dtype=x.dtype, device=x.device)
    for images in _image_groups(x):
        winner = _winners(xp, x[images, ...], y[images, ...], window)
        part = dx[images, ...]
        dpadded = pad(xp, part, window.pads)  # part itself where there is no border
        _give(xp, dy[images, ...], winner, dpadded, window)
        if dpadded is not part:
            part[...] = _crop(dpadded, x, window)
    return dx


def _winners(xp: Any, x: Array, y: Array, window: Window) -> Array:
    """Number of the pixel that is the maximum of each window, (n, C, OH, OW): 0 for the first."""
    count = window.kernel[0] * window.kernel[1]
    whole = xp.uint8 if count < 256 else xp.int64
    winner = xp.zeros(y.shape, dtype=whole, device=y.device)
    searching = xp.ones(y.shape, dtype=xp.bool, device=y.device)
    # A border of NaN equals no maximum, not even minus infinity.
    padded = pad(xp, x, window.pads, float("nan"))
    for _, _, h, w in taps(window):
        searching &= padded[:, :, h, w] != y
        winner += xp.asarray(searching, dtype=whole)  # not this one: one further
    if xp.any(searching):  # y is NaN: its last NaN
        is_nan = xp.isnan(pad(xp, x, window.pads))
        for number, (_, _, h, w) in enumerate(taps(window)):
            winner[is_nan[:, :, h, w] & searching] = number
        lost = winner == count
        if xp.any(lost & (y != _lowest(xp, x))):
            raise ValueError("max_pool2d_backward: y is no longer what max_pool2d_forward returned")
        # A dilated window may meet the border alone, which is cropped away.
        winner[lost] = 0
    return winner


def _give(xp: Any, dy: Array, winner: Array, dpadded: Array, window: Window) -> None:
    """Add dy (n, C, OH, OW) to the pixel of each window that won."""
    pixels = list(taps(window))
    if xp is not np:
        for number, (_, _, h, w) in enumerate(pixels):
            dpadded[:, :, h, w] += xp.where(winner == number, dy, 0)
        return
    # NumPy can add by index, which is faster. A winner's index in the flat dpadded
    # counts channels, the corner of the window there, and the steps from it.
    n, c, height, width = dpadded.shape
    (oh, ow), (down, across) = window.size, window.stride
    steps = np.array([h.start * width + w.start for _, _, h, w in pixels])
    places = steps.take(winner, mode="clip")  # as steps[winner], without a check
    places += np.arange(oh)[:, None] * (down * width) + np.arange(ow) * across
    places += np.arange(n * c).reshape(n, c, 1, 1) * (height * width)
    np.add.at(dpadded.reshape(-1), places.reshape(-1), dy.reshape(-1))


def avg_pool2d_forward(
    x: Array,
    kernel_size: Any,
    *,
    stride: Any = None,
    padding: Any = 0,
    count_include_pad: bool = True,
    ceil_mode: bool = False,
    divisor_override: int | None = None,
) -> tuple[Array, AvgPool2dCache]:
    r"""Replace each window by its mean.

    .. math:: y_{ncpq} = \frac{1}{k_H k_W} \sum_{i,j} x_{n,\,c,\,ps + i,\,qs + j}

    Args:
        x: (N, C, H, W).
        kernel_size: window size, an int or a pair (height, width).
        stride: step between windows; kernel_size where None.
        padding: border of zeros, at most half the kernel.
        count_include_pad: False divides by the number of real pixels in the window.
        ceil_mode: True lets the last window hang over the end.
        divisor_override: divide by this instead of the window's size.

    Returns:
        y (N, C, OH, OW), and the cache for :func:`avg_pool2d_backward`.

    Raises:
        ValueError: x or the options do not fit together.
        TypeError: x holds no floating-point numbers.

    Source: LeCun et al. (1998), section II.B (sub-sampling).
    """
    xp = namespace("avg_pool2d", x=x)
    window = pool_window("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    if not is_floating(xp, x):
        raise TypeError(f"avg_pool2d: x must hold floating-point numbers, got {x.dtype}")
    divisor = _divisor(xp, x, window, padding, count_include_pad, divisor_override)
    y = xp.empty((*x.shape[:2], *window.size), dtype=x.dtype, device=x.device)
    for images in _image_groups(x):
        padded = pad(xp, x[images, ...], window.pads)
        y[images, ...] = _separable(lambda a, b: a + b, padded, window) / divisor
    return y, AvgPool2dCache(x, divisor, window)


def avg_pool2d_backward(dy: Array, cache: AvgPool2dCache) -> Array:
    r"""Gradient of average pooling: dy is spread evenly over the window.

    .. math:: dx_{n,\,c,\,ps + i,\,qs + j} \mathrel{+}= \frac{dy_{ncpq}}{k_H k_W}

    Args:
        dy: upstream gradient (N, C, OH, OW).
        cache: from :func:`avg_pool2d_forward`.

    Returns:
        dx (N, C, H, W).

    Raises:
        ValueError: dy has another shape than y.

    Source: the chain rule; LeCun et al. (1998), section II.B.
    """
    x, divisor, window = cache
    xp = namespace("avg_pool2d_backward", x=x, dy=dy)
    check_shape("avg_pool2d_backward", "dy", dy, (*x.shape[:2], *window.size))
    dx = xp.empty(x.shape, dtype=x.dtype, device=x.device)
    for images in _image_groups(x):
        share = dy[images, ...] / divisor  # (n, C, OH, OW)
        dpadded = xp.zeros_like(pad(xp, x[images, ...], window.pads))
        for _, _, h, w in taps(window):
            dpadded[:, :, h, w] += share
        dx[images, ...] = _crop(dpadded, x, window)
    return dx


def _separable(combine: Callable, padded: Array, window: Window) -> Array:
    """Combine the rows of each window, then the columns of what is left."""
    (kh, kw), (oh, ow) = window.kernel, window.size
    rows = reduce(combine, (padded[:, :, line(window, 0, i, 0, oh), :] for i in range(kh)))
    return reduce(combine, (rows[:, :, :, line(window, 1, j, 0, ow)] for j in range(kw)))


def _image_groups(x: Array) -> Iterator[slice]:
    """Slices of about half a megabyte of images: what a processor's cache holds."""
    n, per_image = x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]
    step = max(1, 2**17 // max(1, per_image)) if on_cpu(x) else max(1, n)
    return (slice(first, min(first + step, n)) for first in range(0, n, step))


def _crop(padded: Array, x: Array, window: Window) -> Array:
    (top, _), (left, _) = window.pads
    return padded[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def _lowest(xp: Any, x: Array) -> float:
    return -float("inf") if is_floating(xp, x) else xp.iinfo(x.dtype).min


def _divisor(
    xp: Any, x: Array, window: Window, padding: Any, count_include_pad: bool, override: int | None
) -> Any:
    """The number that each window's sum is divided by: a number, or (OH, OW)."""
    if override is not None:
        if override == 0:
            raise ValueError("avg_pool2d: divisor_override must not be 0")
        return override
    counts = []
    for axis in (0, 1):
        before, n = window.pads[axis][0], x.shape[2 + axis]
        low, high = (0, before + n + before) if count_include_pad else (before, before + n)
        starts = (p * window.stride[axis] for p in range(window.size[axis]))
        counts.append([min(s + window.kernel[axis], high) - max(s, low) for s in starts])
    if all(len(set(c)) == 1 for c in counts):
        return counts[0][0] * counts[1][0]
    heights, widths = (xp.asarray(c, dtype=x.dtype, device=x.device) for c in counts)
    return xp.reshape(heights, (-1, 1)) * widths  # (OH, 1) * (OW,) -> (OH, OW)
