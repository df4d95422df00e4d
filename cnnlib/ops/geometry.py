"""Where a sliding window stands: output sizes, padding, and the checks that everything fits."""

from collections.abc import Iterator
from operator import index
from typing import Any, NamedTuple

from cnnlib._array import Array, Pads

Pair = tuple[int, int]


class Window(NamedTuple):
    """A kernel's walk over an image; each pair is (height, width)."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    pads: Pads  # ((top, bottom), (left, right))
    size: Pair  # (OH, OW)


def output_size(
    n: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    r"""Number of positions at which a kernel fits on a line of n pixels.

    .. math:: \left\lfloor \frac{n + 2p - d(k - 1) - 1}{s} \right\rfloor + 1

    Args:
        n: input length in pixels.
        kernel: kernel length k.
        stride: step s between two positions.
        padding: pixels p added at each end.
        dilation: distance d between neighbouring kernel elements.

    Returns:
        The output length.

    Raises:
        ValueError: a number is out of range, or the kernel is larger than the padded input.

    Source: Dumoulin and Visin (2016), A guide to convolution arithmetic, relations 6 and 15.

    Example:
        >>> output_size(28, 5), output_size(24, 2, stride=2), output_size(227, 11, stride=4)
        (24, 12, 55)
    """
    n, kernel, stride, padding, dilation = map(index, (n, kernel, stride, padding, dilation))
    for name, value in (("kernel", kernel), ("stride", stride), ("dilation", dilation)):
        if value < 1:
            raise ValueError(f"output_size: {name} must be at least 1, got {value}")
    if padding < 0:
        raise ValueError(f"output_size: padding must not be negative, got {padding}")
    reach = dilation * (kernel - 1) + 1  # pixels from the kernel's first element to its last
    if reach > n + 2 * padding:
        raise ValueError(
            f"output_size: the kernel covers {reach} pixels, more than the padded input's "
            f"{n + 2 * padding}: n {n}, kernel {kernel}, padding {padding}, dilation {dilation}"
        )
    return (n + 2 * padding - reach) // stride + 1


def taps(window: Window, first: int = 0, last: int | None = None) -> Iterator[tuple]:
    """Yield (i, j, rows, columns): the pixels under kernel element (i, j), as two slices.

    Args:
        window: the kernel's walk.
        first: first output row wanted.
        last: one past the last output row wanted; all rows without it.
    """
    last = window.size[0] if last is None else last
    for i in range(window.kernel[0]):
        rows = line(window, 0, i, first, last)
        for j in range(window.kernel[1]):
            yield i, j, rows, line(window, 1, j, 0, window.size[1])


def line(window: Window, axis: int, tap: int, first: int, last: int) -> slice:
    """Pixels along one axis under kernel element ``tap`` at output positions first..last-1."""
    step, start = window.stride[axis], tap * window.dilation[axis]
    return slice(start + first * step, start + (last - 1) * step + 1, step)


def pair(where: str, name: str, value: Any, least: int) -> Pair:
    """Return ``value`` (an int or a pair) as a pair of ints that are at least ``least``."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        values = tuple(index(v) for v in values)
    except TypeError:
        raise TypeError(f"{where}: {name} must be an int or a pair, got {value!r}") from None
    if len(values) not in (1, 2):
        raise ValueError(f"{where}: {name} must be an int or a pair, got {value!r}")
    if min(values) < least:
        rule = "must not be negative" if least == 0 else f"must be at least {least}"
        raise ValueError(f"{where}: {name} {rule}, got {value!r}")
    return (values[0], values[-1])


def conv_window(
    where: str, x: Array, kernel: Pair, stride: Any, padding: Any, dilation: Any
) -> Window:
    """Check the options of a convolution and place its kernel."""
    steps = pair(where, "stride", stride, 1)
    gaps = pair(where, "dilation", dilation, 1)
    pads: Pads
    if padding == "same":
        if steps != (1, 1):
            raise ValueError(f"{where}: padding='same' needs stride 1, got {stride!r}")
        total = [d * (k - 1) for d, k in zip(gaps, kernel, strict=True)]
        pads = tuple((t // 2, t - t // 2) for t in total)  # type: ignore[assignment]
    elif isinstance(padding, str) and padding != "valid":
        raise ValueError(f"{where}: padding must be 'same', 'valid', an int or a pair: {padding!r}")
    else:
        top, left = (0, 0) if padding == "valid" else pair(where, "padding", padding, 0)
        pads = ((top, top), (left, left))
    return _placed(where, x, kernel, steps, gaps, pads, ceil_mode=False)


def pool_window(
    where: str,
    x: Array,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Window:
    """Check the options of a pooling layer and place its window."""
    check_rank(where, "x", x, 4, "(N, C, H, W)")
    kernel = pair(where, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None or stride == () else pair(where, "stride", stride, 1)
    top, left = pair(where, "padding", padding, 0)
    gaps = pair(where, "dilation", dilation, 1)
    for p, k, d in zip((top, left), kernel, gaps, strict=True):
        if 2 * p > d * (k - 1) + 1:
            raise ValueError(
                f"{where}: padding must be at most half the kernel: "
                f"padding {padding!r}, kernel_size {kernel_size!r}"
            )
    return _placed(where, x, kernel, steps, gaps, ((top, top), (left, left)), ceil_mode)


def _placed(
    where: str, x: Array, kernel: Pair, stride: Pair, dilation: Pair, pads: Pads, ceil_mode: bool
) -> Window:
    sizes, borders = [], []
    axes = zip(x.shape[2:], kernel, stride, dilation, pads, strict=True)
    for n, k, s, d, (before, after) in axes:
        room = before + n + after - d * (k - 1) - 1
        if room < 0 or n == 0:
            raise ValueError(
                f"{where}: the kernel does not fit the padded input: x {tuple(x.shape)}, "
                f"kernel {kernel}, padding {pads}, dilation {dilation}"
            )
        size = room // s + 1
        # With ceil_mode a last window may hang over the end, if it starts on x or its padding.
        if ceil_mode and room % s and size * s < n + before:
            size += 1
            after += (size - 1) * s - room
        sizes.append(size)
        borders.append((before, after))
    return Window(kernel, stride, dilation, tuple(borders), tuple(sizes))  # type: ignore[arg-type]


def check_rank(where: str, name: str, array: Array, rank: int, layout: str) -> None:
    """Raise ``ValueError`` unless ``array`` has ``rank`` axes."""
    if array.ndim != rank:
        raise ValueError(
            f"{where}: {name} must have {rank} axes {layout}, got shape {tuple(array.shape)}"
        )


def check_shape(where: str, name: str, array: Array, shape: tuple) -> None:
    """Raise ``ValueError`` unless ``array`` has this shape."""
    if tuple(array.shape) != tuple(shape):
        raise ValueError(
            f"{where}: {name} must have shape {tuple(shape)}, got {tuple(array.shape)}"
        )
