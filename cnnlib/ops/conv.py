"""Convolution as CNN libraries compute it: cross-correlation by matrix products."""

from collections.abc import Iterator
from math import prod
from numbers import Integral
from typing import Any, NamedTuple

from cnnlib._array import Array, Pads, matmul_into, namespace, on_cpu, pad, windows
from cnnlib.ops.geometry import Window, check_rank, check_shape, conv_window, taps


class Conv2dCache(NamedTuple):
    """What conv2d_backward needs: the inputs, not the nine times larger columns."""

    x: Array
    weight: Array
    bias: Array | None
    window: Window
    groups: int


def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Array, Conv2dCache]:
    r"""Slide O kernels over N images; every output is a weighted sum of the pixels under it.

    .. math:: y_{nopq} = b_o + \sum_{c,i,j} w_{ocij} \, x_{n,\,c,\,ps + id,\,qs + jd}

    with stride s and dilation d on the zero-padded x. The pixels under the kernel become the
    columns of a matrix, so that one matrix product computes many outputs at once.

    Args:
        x: images (N, C, H, W).
        weight: kernels (O, C / groups, kH, kW).
        bias: (O,) or None.
        stride: step between positions, an int or a pair (height, width).
        padding: zeros around the image: an int, a pair, "valid" (none) or "same" (OH = H).
        dilation: distance between kernel elements, an int or a pair.
        groups: channels are split into this many groups, each with its own O / groups kernels.

    Returns:
        y (N, O, OH, OW) with OH and OW from :func:`output_size`, and the cache for
        :func:`conv2d_backward`.

    Raises:
        ValueError: shapes or options do not fit together.
        TypeError: the arrays differ in library or dtype.

    Memory: a few padded images and one buffer of about half a million elements.

    Source: Chellapilla, Puri and Simard (2006), section 3 (unfolding); Dumoulin and Visin (2016).
    """
    xp, window = check_conv2d("conv2d", x, weight, bias, stride, padding, dilation, groups)
    y = _correlate(xp, x, weight, bias, window, groups)
    return y, Conv2dCache(x, weight, bias, window, groups)


def _correlate(
    xp: Any, x: Array, weight: Array, bias: Array | None, window: Window, groups: int
) -> Array:
    """The sums of products at all positions of the window: (N, O, OH, OW)."""
    n, o, (oh, ow) = x.shape[0], weight.shape[0], window.size
    kernels = xp.reshape(weight, (groups, o // groups, prod(weight.shape[1:])))  # (G, O/G, K)
    y = xp.empty((n, groups, o // groups, oh * ow), dtype=x.dtype, device=x.device)
    for images, pixels, columns in _columns(xp, x, window, groups):
        block = y[images, :, :, pixels]  # (n, G, O/G, P), a view: the product goes straight to y
        matmul_into(xp, kernels, columns, block)  # (G, O/G, K) @ (n, G, K, P)
        if bias is not None:
            block += xp.reshape(bias, (groups, o // groups, 1))
    return xp.reshape(y, (n, o, oh, ow))


def conv2d_backward(dy: Array, cache: Conv2dCache) -> tuple[Array, Array, Array | None]:
    r"""Gradients of the convolution.

    Every product :math:`w \cdot x` in the forward sum sends :math:`dy \cdot x` to its weight and
    :math:`dy \cdot w` to its pixel:

    .. math::
        dw_{ocij} = \sum_{n,p,q} dy_{nopq} \, x_{n,\,c,\,ps + id,\,qs + jd}, \qquad
        dx_{n,\,c,\,ps + id,\,qs + jd} \mathrel{+}= \sum_o w_{ocij} \, dy_{nopq}, \qquad
        db_o = \sum_{n,p,q} dy_{nopq}

    Args:
        dy: upstream gradient (N, O, OH, OW).
        cache: from :func:`conv2d_forward`.

    Returns:
        dx (N, C, H, W), dweight (O, C / groups, kH, kW) and dbias (O,), None where bias was None.

    Raises:
        ValueError: dy has another shape than y.

    Memory: a few padded images (with a stride, the padded gradient of all), and one buffer of
    about half a million elements.

    Source: the chain rule; Dumoulin and Visin (2016), section 4, for its geometry.
    """
    x, weight, bias, window, groups = cache
    xp = namespace("conv2d_backward", x=x, dy=dy)
    check_shape("conv2d_backward", "dy", dy, (x.shape[0], weight.shape[0], *window.size))
    dx = _input_gradient(xp, dy, x, weight, window, groups)
    n, o, (oh, ow) = x.shape[0], weight.shape[0], window.size
    dkernels = xp.zeros(
        (groups, o // groups, prod(weight.shape[1:])), dtype=x.dtype, device=x.device
    )
    flat_dy = xp.reshape(dy, (n, groups, o // groups, oh * ow))
    for images, pixels, columns in _columns(xp, x, window, groups, together=True):
        block = xp.permute_dims(flat_dy[images, :, :, pixels], (1, 2, 0, 3))  # (G, O/G, n, P)
        block = xp.reshape(block, (groups, o // groups, columns.shape[2]))  # (G, O/G, n P)
        dkernels += xp.matmul(block, xp.permute_dims(columns, (0, 2, 1)))  # @ (G, n P, K)
    dweight = xp.reshape(dkernels, weight.shape)  # (O, C/G, kH, kW)
    dbias = None if bias is None else xp.sum(dy, axis=(0, 2, 3))
    return dx, dweight, dbias


def _input_gradient(
    xp: Any, dy: Array, x: Array, weight: Array, window: Window, groups: int
) -> Array:
    """Each pixel collects dy times the weights that it was multiplied with."""
    n, c, h, w = x.shape
    o, (oh, ow), (kh, kw) = weight.shape[0], window.size, window.kernel
    border = _full_border(window)
    if border is not None and o <= 4 * c:  # reading dy's windows beats adding into x's
        full = Window(window.kernel, (1, 1), window.dilation, border, (h, w))
        return _correlate(xp, dy, turned(xp, weight, groups), None, full, groups)
    kernels = xp.reshape(weight, (groups, o // groups, prod(weight.shape[1:])))
    transposed = xp.permute_dims(kernels, (0, 2, 1))  # (G, K, O/G)
    (top, bottom), (left, right) = window.pads
    shape = (n, c, top + h + bottom, left + w + right)
    dpadded = xp.zeros(shape, dtype=x.dtype, device=x.device)
    dy = xp.reshape(dy, (n, groups, o // groups, oh * ow))
    for images, rows, pixels in _blocks(x, c * kh * kw, window):
        columns = xp.matmul(transposed, dy[images, :, :, pixels])  # (n, G, K, P)
        columns = xp.reshape(columns, (-1, c, kh, kw, rows[1] - rows[0], ow))
        for i, j, high, wide in taps(window, *rows):
            dpadded[images, :, high, wide] += columns[:, :, i, j, :, :]
    return dpadded[:, :, top : top + h, left : left + w]


def _full_border(window: Window) -> Pads | None:
    """The zeros around dy that make dx a convolution of dy, where it is one: for stride 1."""
    reach = [d * (k - 1) for d, k in zip(window.dilation, window.kernel, strict=True)]
    (top, bottom), (left, right) = window.pads
    border = ((reach[0] - top, reach[0] - bottom), (reach[1] - left, reach[1] - right))
    return border if window.stride == (1, 1) and min(border[0] + border[1]) >= 0 else None


def turned(xp: Any, weight: Array, groups: int) -> Array:
    """Kernels turned by 180 degrees, input and output channels exchanged: (C, O/G, kH, kW)."""
    o, c, kh, kw = weight.shape
    kernels = xp.reshape(xp.flip(weight, axis=(2, 3)), (groups, o // groups, c, kh, kw))
    kernels = xp.permute_dims(kernels, (0, 2, 1, 3, 4))  # (G, C/G, O/G, kH, kW)
    return xp.reshape(kernels, (groups * c, o // groups, kh, kw))


def _columns(
    xp: Any, x: Array, window: Window, groups: int, *, together: bool = False
) -> Iterator[tuple]:
    """Copy the pixels under the kernel into columns, block by block, in one small buffer.

    Yields:
        images (slice), pixels (slice) and columns (n, G, K, P) with K = C / G kH kW; together,
        the columns of all images lie side by side: (G, K, n P).
    """
    depth = x.shape[1] * prod(window.kernel)  # G K
    buffer = padded = padded_images = None
    for images, rows, pixels in _blocks(x, depth, window):
        if images != padded_images:
            padded, padded_images = pad(xp, x[images, ...], window.pads), images
        n, length = images.stop - images.start, pixels.stop - pixels.start
        length *= n if together else 1
        if buffer is None:  # the first block is the largest
            # Rows of a power of two numbers fall on the same cache lines: keep 16 spare ones.
            spare = 16 if length & (length - 1) == 0 else 0
            shape = (*(() if together else (n,)), groups, depth // groups, length + spare)
            buffer = xp.empty(shape, dtype=x.dtype, device=x.device)
        columns = buffer[..., :length] if together else buffer[:n, ..., :length]
        _gather(xp, padded, columns, window, rows, together)
        yield images, pixels, columns


def _gather(
    xp: Any, x: Array, columns: Array, window: Window, rows: tuple[int, int], together: bool
) -> None:
    """Copy what the kernel elements meet at these output rows into the columns."""
    n, c, (kh, kw), ow = x.shape[0], x.shape[1], window.kernel, window.size[1]
    r = rows[1] - rows[0]
    seen = windows(xp, x, window.kernel, window.stride, window.dilation, window.size)
    shape = (c, kh, kw, n, r, ow) if together else (n, c, kh, kw, r, ow)
    target = xp.reshape(columns, shape)  # a view
    if together:
        target = xp.permute_dims(target, (3, 0, 1, 2, 4, 5))
    if seen is not None:
        target[...] = seen[:, :, :, :, rows[0] : rows[1], :]
        return
    for i, j, high, wide in taps(window, *rows):
        target[:, :, i, j, ...] = x[:, :, high, wide]


def _blocks(x: Array, depth: int, window: Window) -> Iterator[tuple]:
    """Cut the work into images or rows whose columns have about half a million elements together.

    Yields:
        images (slice), rows (first, last), pixels (slice of OH OW).
    """
    n, (oh, ow) = x.shape[0], window.size
    budget = 2**19 if on_cpu(x) else 2**26
    positions = max(budget // depth, 256)
    high = min(oh, max(1, positions // ow))
    many = max(1, positions // (high * ow))
    for image in range(0, n, many):
        for row in range(0, oh, high):
            end = min(row + high, oh)
            yield slice(image, min(image + many, n)), (row, end), slice(row * ow, end * ow)


def check_conv2d(
    where: str,
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> tuple[Any, Window]:
    """Check the arguments of a convolution and place its kernel."""
    xp = namespace(where, x=x, weight=weight, bias=bias)
    check_rank(where, "x", x, 4, "(N, C, H, W)")
    check_rank(where, "weight", weight, 4, "(O, C / groups, kH, kW)")
    shapes = f"x {tuple(x.shape)}, weight {tuple(weight.shape)}"
    o, c, kh, kw = weight.shape
    if not isinstance(groups, Integral) or groups < 1:
        raise ValueError(f"{where}: groups must be an int of at least 1, got {groups!r}")
    if min(o, c, kh, kw) < 1:
        raise ValueError(f"{where}: weight must not be empty: {shapes}")
    if x.shape[1] % groups or o % groups:
        raise ValueError(
            f"{where}: groups must divide x's {x.shape[1]} channels and weight's {o} kernels: "
            f"groups {groups}, {shapes}"
        )
    if x.shape[1] != c * groups:
        raise ValueError(
            f"{where}: x has {x.shape[1]} channels but weight expects {c * groups}: {shapes}"
        )
    if bias is not None:
        check_shape(where, "bias", bias, (o,))
    return xp, conv_window(where, x, (kh, kw), stride, padding, dilation)
