"""Winograd's convolution: 3x3 kernels with fewer multiplications, by transforming small tiles."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from cnnlib._array import Array, is_floating, like, namespace, on_cpu, pad
from cnnlib.ops.conv import check_conv2d, turned
from cnnlib.ops.geometry import Window, check_shape


class Forms(NamedTuple):
    """The three matrices of one dimension: y = A [(G g) * (B d)], * elementwise."""

    a: np.ndarray  # (m, m + 2): products to m outputs
    g: np.ndarray  # (m + 2, 3): kernel to factors
    b: np.ndarray  # (m + 2, m + 2): pixels to factors


# Lavin and Gray (2016), sections 4.1 and 4.3: the points 0, 1, -1 (and 2, -2) and infinity.
FORMS = {
    2: Forms(
        a=np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
        g=np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2,
        b=np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
    ),
    4: Forms(
        a=np.array(
            [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
        ),
        g=np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
        b=np.array(
            [
                [4, 0, -5, 0, 1, 0],
                [0, -4, -4, 1, 1, 0],
                [0, 4, -4, -1, 1, 0],
                [0, -2, -1, 2, 1, 0],
                [0, 2, -1, -2, 1, 0],
                [0, 4, 0, -5, 0, 1],
            ]
        ),
    ),
}

BUDGET, BUDGET_GPU = 2**20, 2**26  # elements of a block of tiles
FEWEST = 64  # tiles of a block at least: narrower products are slow


class WinogradCache(NamedTuple):
    """What winograd_conv2d_backward needs: the inputs; the tiles are transformed again."""

    x: Array
    weight: Array
    bias: Array | None
    window: Window
    tile: int


def winograd_conv2d_forward(
    x: Array, weight: Array, bias: Array | None = None, *, padding: Any = 0, tile: int = 4
) -> tuple[Array, WinogradCache]:
    r"""The convolution of :func:`conv2d_forward` for 3x3 kernels and stride 1, another way.

    A tile of m x m outputs needs (m + 2) x (m + 2) pixels d and one kernel g. With the matrices
    of one dimension,

    .. math:: y = A \left[ (G g G^T) \odot (B d B^T) \right] A^T,

    there are (m + 2)^2 multiplications of kernels with pixels instead of 9 m^2: 36 instead of
    144 for m = 4. Sums over the channels are taken between the brackets, as matrix products.

    Args:
        x: images (N, C, H, W).
        weight: kernels (O, C, 3, 3).
        bias: (O,) or None.
        padding: zeros around the image: 0, 1, 2, a pair of these, "valid" or "same".
        tile: m, side of a tile of outputs: 2 or 4. 4 is faster, 2 rounds less.

    Returns:
        y (N, O, OH, OW), and the cache for :func:`winograd_conv2d_backward`.

    Raises:
        ValueError: shapes or options do not fit together, or the kernel is not 3x3.
        TypeError: the arrays differ in library or dtype, or hold no floating-point numbers.

    Memory: (m + 2)^2 / 9 times the weights, and three buffers of about a million elements.

    Source: Lavin and Gray (2016), sections 3 and 4, after minimal filters by S. Winograd.
    """
    where = "winograd_conv2d"
    if not isinstance(tile, int) or tile not in FORMS:
        raise ValueError(f"{where}: tile must be one of {list(FORMS)}, got {tile!r}")
    xp, window = check_conv2d(where, x, weight, bias, 1, padding, 1, 1)
    if not is_floating(xp, x):
        raise TypeError(f"{where}: x must hold floating-point numbers, got {x.dtype}")
    if window.kernel != (3, 3) or max(window.pads[0] + window.pads[1]) > 2:
        raise ValueError(
            f"{where}: weight must be (O, C, 3, 3) and padding at most 2, got "
            f"weight {tuple(weight.shape)}, padding {padding!r}"
        )
    y = _correlate(xp, x, weight, window, tile)
    if bias is not None:
        y += xp.reshape(bias, (-1, 1, 1))
    return y, WinogradCache(x, weight, bias, window, tile)


def winograd_conv2d_backward(dy: Array, cache: WinogradCache) -> tuple[Array, Array, Array | None]:
    r"""Gradients of the convolution, with as few multiplications.

    dx is the convolution of dy with the turned kernels. For the weights, every linear step of the
    forward pass is transposed:

    .. math:: dg = G^T \left[ (A^T dy\, A) \odot (B d B^T) \right] G

    Args:
        dy: upstream gradient (N, O, OH, OW).
        cache: from :func:`winograd_conv2d_forward`.

    Returns:
        dx (N, C, H, W), dweight (O, C, 3, 3) and dbias (O,), None where bias was None.

    Raises:
        ValueError: dy has another shape than y.

    Source: the chain rule; Lavin and Gray (2016), section 4.
    """
    x, weight, bias, window, tile = cache
    xp = namespace("winograd_conv2d_backward", x=x, dy=dy)
    o, c = weight.shape[:2]
    check_shape("winograd_conv2d_backward", "dy", dy, (x.shape[0], o, *window.size))
    (top, bottom), (left, right) = window.pads
    border = ((2 - top, 2 - bottom), (2 - left, 2 - right))
    full = Window((3, 3), (1, 1), (1, 1), border, (x.shape[2], x.shape[3]))
    dx = _correlate(xp, dy, turned(xp, weight, 1), full, tile)

    a, g, b = _in_two_dimensions(xp, x, tile)
    points, many_rows, many_columns = (tile + 2) ** 2, *_tile_counts(window, tile)
    dkernels = None
    rest = ((0, many_rows * tile - window.size[0]), (0, many_columns * tile - window.size[1]))
    for images, rows, pixels in _tiles(xp, x, b, window, tile, max(o, c)):
        part = xp.reshape(
            pad(xp, dy[images, ...], rest), (-1, o, many_rows, tile, many_columns, tile)
        )
        part = xp.permute_dims(part[:, :, rows, ...], (3, 5, 1, 0, 2, 4))  # (m, m, O, n, r, TW)
        dproducts = xp.matmul(a.T, xp.reshape(part, (tile * tile, -1)))  # (points, O P)
        dproducts = xp.reshape(dproducts, (points, o, -1))
        share = xp.matmul(dproducts, xp.permute_dims(pixels, (0, 2, 1)))  # (points, O, C)
        if dkernels is None:
            dkernels = share
        else:
            dkernels += share
    if dkernels is None:  # no images
        dkernels = xp.zeros((points, o, c), dtype=x.dtype, device=x.device)
    dweight = xp.matmul(g.T, xp.reshape(dkernels, (points, o * c)))  # (9, O C)
    dweight = xp.reshape(xp.permute_dims(dweight, (1, 0)), weight.shape)
    dbias = None if bias is None else xp.sum(dy, axis=(0, 2, 3))
    return dx, dweight, dbias


def _correlate(xp: Any, x: Array, weight: Array, window: Window, tile: int) -> Array:
    """The sums of products at all positions of the window: (N, O, OH, OW)."""
    n, (o, c), (oh, ow) = x.shape[0], weight.shape[:2], window.size
    a, g, b = _in_two_dimensions(xp, x, tile)
    points, many_rows, many_columns = (tile + 2) ** 2, *_tile_counts(window, tile)
    kernels = xp.permute_dims(xp.reshape(weight, (o * c, 9)), (1, 0))  # (9, O C)
    kernels = xp.reshape(xp.matmul(g, kernels), (points, o, c))
    shape = (n, o, many_rows, tile, many_columns, tile)
    y = xp.empty(shape, dtype=x.dtype, device=x.device)
    for images, rows, pixels in _tiles(xp, x, b, window, tile, max(o, c)):
        products = xp.matmul(kernels, pixels)  # (points, O, C) @ (points, C, P)
        block = xp.matmul(a, xp.reshape(products, (points, -1)))  # (m m, O P)
        k, r = images.stop - images.start, rows.stop - rows.start
        block = xp.reshape(block, (tile, tile, o, k, r, many_columns))
        y[images, :, rows, ...] = xp.permute_dims(block, (3, 2, 4, 0, 5, 1))
    y = xp.reshape(y, (n, o, many_rows * tile, many_columns * tile))
    return y if y.shape[2:] == (oh, ow) else xp.asarray(y[:, :, :oh, :ow], copy=True)


def _in_two_dimensions(xp: Any, x: Array, tile: int) -> list[Array]:
    """Matrices that act on flattened tiles: the Kronecker product of each with itself."""
    return [like(xp, np.kron(matrix, matrix), x) for matrix in FORMS[tile]]


def _tile_counts(window: Window, tile: int) -> tuple[int, int]:
    """Tiles that cover the outputs, in a column and in a row."""
    return -(-window.size[0] // tile), -(-window.size[1] // tile)


def _tiles(xp: Any, x: Array, b: Array, window: Window, tile: int, depth: int) -> Iterator[tuple]:
    """Cut x into overlapping tiles and transform them, some images or rows of tiles at a time.

    A block has about a million elements when each of its points has ``depth`` channels.

    Yields:
        images (slice), rows of tiles (slice) and the factors (points, C, P) of these P tiles.
    """
    n, c, h, w = x.shape
    side, (many_rows, many_columns) = tile + 2, _tile_counts(window, tile)
    count = max((BUDGET if on_cpu(x) else BUDGET_GPU) // (side * side * depth), FEWEST)
    high = min(many_rows, max(1, count // many_columns))
    many = max(1, count // (high * many_columns))
    (top, _), (left, _) = window.pads
    border = (
        (top, many_rows * tile + 2 - top - h),
        (left, many_columns * tile + 2 - left - w),
    )
    for first in range(0, n, many):
        images = slice(first, min(first + many, n))
        padded = pad(xp, x[images, ...], border)
        for row in range(0, many_rows, high):
            rows = slice(row, min(row + high, many_rows))
            r = rows.stop - row
            shape = (side, side, c, images.stop - first, r, many_columns)
            tiles = xp.empty(shape, dtype=x.dtype, device=x.device)
            for i in range(side):
                down = row * tile + i
                for j in range(side):
                    seen = padded[
                        :, :, down : down + (r - 1) * tile + 1 : tile,
                        j : j + (many_columns - 1) * tile + 1 : tile,
                    ]  # fmt: skip
                    tiles[i, j, ...] = xp.permute_dims(seen, (1, 0, 2, 3))
            factors = xp.matmul(b, xp.reshape(tiles, (side * side, -1)))
            yield images, rows, xp.reshape(factors, (side * side, c, -1))
