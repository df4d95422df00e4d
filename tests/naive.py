"""The operations once more as plain loops, slow and plain to see: what the fast ones must equal."""

import numpy as np


def conv2d(x, weight, bias, stride, pads, dilation, groups):
    """Cross-correlation, one multiplication at a time; pads are ((top, bottom), (left, right))."""
    x = np.pad(x, ((0, 0), (0, 0), *pads))
    n, _, h, w = x.shape
    o, c, kh, kw = weight.shape
    oh = (h - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (w - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, o, oh, ow), dtype=x.dtype)
    for a, b, p, q in np.ndindex(y.shape):
        first = b // (o // groups) * c
        for k, i, j in np.ndindex(c, kh, kw):
            row, column = p * stride[0] + i * dilation[0], q * stride[1] + j * dilation[1]
            y[a, b, p, q] += weight[b, k, i, j] * x[a, first + k, row, column]
        if bias is not None:
            y[a, b, p, q] += bias[b]
    return y


def conv2d_backward(dy, x, weight, stride, pads, dilation, groups):
    """Every product of the forward sum hands dy to its two factors."""
    padded = np.pad(x, ((0, 0), (0, 0), *pads))
    dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
    o, c, kh, kw = weight.shape
    for a, b, p, q in np.ndindex(dy.shape):
        first = b // (o // groups) * c
        for k, i, j in np.ndindex(c, kh, kw):
            row, column = p * stride[0] + i * dilation[0], q * stride[1] + j * dilation[1]
            dweight[b, k, i, j] += dy[a, b, p, q] * padded[a, first + k, row, column]
            dpadded[a, first + k, row, column] += dy[a, b, p, q] * weight[b, k, i, j]
    (top, _), (left, _) = pads
    dx = dpadded[:, :, top : top + x.shape[2], left : left + x.shape[3]]
    return dx, dweight, dy.sum(axis=(0, 2, 3))


def windows(x, kernel, stride, padding):
    """Yield (n, c, p, q) and the list of pixel positions inside the image for each window."""
    n, c, h, w = x.shape
    oh = (h + 2 * padding[0] - kernel[0]) // stride[0] + 1
    ow = (w + 2 * padding[1] - kernel[1]) // stride[1] + 1
    for a, b, p, q in np.ndindex(n, c, oh, ow):
        spots = []
        for i, j in np.ndindex(*kernel):
            row, column = p * stride[0] + i - padding[0], q * stride[1] + j - padding[1]
            if 0 <= row < h and 0 <= column < w:
                spots.append((a, b, row, column))
        yield (a, b, p, q), spots


def max_pool2d(x, dy, kernel, stride, padding):
    """Return y and dx; the first of equal maxima gets the gradient."""
    y, dx = np.zeros(dy.shape), np.zeros(x.shape)
    for out, spots in windows(x, kernel, stride, padding):
        best = spots[0]
        for spot in spots[1:]:
            if x[spot] > x[best]:
                best = spot
        y[out] = x[best]
        dx[best] += dy[out]
    return y, dx


def avg_pool2d(x, dy, kernel, stride, padding, count_include_pad):
    """Return y and dx."""
    y, dx = np.zeros(dy.shape), np.zeros(x.shape)
    for out, spots in windows(x, kernel, stride, padding):
        count = kernel[0] * kernel[1] if count_include_pad else len(spots)
        for spot in spots:
            y[out] += x[spot] / count
            dx[spot] += dy[out] / count
    return y, dx


def derivative(f, x, eps=1e-6):
    """Gradient of the number f(x) by central differences."""
    gradient = np.zeros_like(x)
    for spot in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[spot] += eps
        down[spot] -= eps
        gradient[spot] = (float(f(up)) - float(f(down))) / (2 * eps)
    return gradient


def host(array):
    """Any library's array as a NumPy array."""
    if hasattr(array, "cpu"):
        array = array.cpu()
    return np.asarray(array)


def agree(got, want, rtol=1e-9, atol=1e-10):
    """Assert that shapes are the same and values close; NaN equals NaN."""
    got, want = host(got), host(want)
    assert got.shape == want.shape, f"{got.shape} is not {want.shape}"
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)
