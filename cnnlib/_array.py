"""What NumPy, torch and other array libraries do differently, and nothing else."""

from typing import Any

import numpy as np

Array = Any
Pair = tuple[int, int]
Pads = tuple[Pair, Pair]


def namespace(where: str, **arrays: Array | None) -> Any:
    """Return the library that the arrays belong to, or raise if they do not belong together.

    Args:
        where: name of the operation, for the error text.
        **arrays: the operation's arrays by argument name; ``None`` is skipped.

    Returns:
        ``numpy`` for NumPy arrays, the ``array_api_compat`` namespace of other libraries.

    Raises:
        TypeError: an argument is no array, or libraries or dtypes differ.
        ValueError: devices differ.
    """
    given = {name: array for name, array in arrays.items() if array is not None}
    first_name, first = next(iter(given.items()))
    xp = _library(where, first_name, first)
    for name, array in given.items():
        if array is first:
            continue
        if _library(where, name, array) is not xp:
            raise TypeError(
                f"{where}: {first_name} and {name} come from different libraries: "
                f"{type(first).__module__} and {type(array).__module__}"
            )
        if array.dtype != first.dtype:
            raise TypeError(
                f"{where}: {first_name} and {name} must have the same dtype: "
                f"{first.dtype} and {array.dtype}"
            )
        same_device(where, first_name, first, name, array)
    return xp


def same_device(where: str, first_name: str, first: Array, name: str, array: Array) -> None:
    """Raise ``ValueError`` unless both arrays live on one device."""
    if not isinstance(first, np.ndarray | np.generic) and array.device != first.device:
        raise ValueError(
            f"{where}: {first_name} and {name} must be on the same device: "
            f"{first.device} and {array.device}"
        )


def _library(where: str, name: str, array: Array) -> Any:
    if isinstance(array, np.ndarray | np.generic):  # arithmetic on 0 axes makes scalars
        return np
    try:
        from array_api_compat import array_namespace

        return array_namespace(array)
    except (ImportError, TypeError):
        raise TypeError(
            f"{where}: {name} must be an array (NumPy, torch, ...), got {type(array).__name__}"
        ) from None


def is_floating(xp: Any, array: Array) -> bool:
    """True for arrays of real floating-point numbers."""
    if xp is np:
        return array.dtype.kind == "f"
    return xp.isdtype(array.dtype, "real floating")


def is_integer(xp: Any, array: Array) -> bool:
    """True for arrays of signed or unsigned integers; False for booleans."""
    if xp is np:
        return array.dtype.kind in "iu"
    return xp.isdtype(array.dtype, "integral")


def on_cpu(array: Array) -> bool:
    """True unless the array lives on an accelerator."""
    return isinstance(array, np.ndarray) or getattr(array.device, "type", "cpu") == "cpu"


def like(xp: Any, values: np.ndarray, array: Array) -> Array:
    """Return ``values`` (a NumPy array) in the library, dtype and device of ``array``."""
    if xp is np:
        return values.astype(array.dtype, copy=False)
    return xp.asarray(values, dtype=array.dtype, device=array.device)


def pad(xp: Any, x: Array, pads: Pads, value: float = 0.0) -> Array:
    """Return x (N, C, H, W) with a border of ``value``; x itself where the border is empty."""
    (top, bottom), (left, right) = pads
    if not (top or bottom or left or right):
        return x
    n, c, h, w = x.shape
    shape = (n, c, top + h + bottom, left + w + right)
    padded = xp.full(shape, value, dtype=x.dtype, device=x.device)
    padded[:, :, top : top + h, left : left + w] = x
    return padded


def windows(xp: Any, x: Array, kernel: Pair, stride: Pair, dilation: Pair, size: Pair) -> Any:
    """View x (N, C, H, W) as (N, C, kH, kW, OH, OW) without a copy; None without strides.

    The view has the pixel under kernel element (i, j) of output (p, q) at [:, :, i, j, p, q].
    """
    if xp is np:
        n, c, h, w = x.strides
    elif hasattr(x, "as_strided"):
        n, c, h, w = x.stride()
    else:
        return None
    shape = (*x.shape[:2], *kernel, *size)
    strides = (n, c, h * dilation[0], w * dilation[1], h * stride[0], w * stride[1])
    if xp is np:
        return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)
    return x.as_strided(shape, strides, x.storage_offset())


def matmul_into(xp: Any, a: Array, b: Array, out: Array) -> None:
    """Write the matrix product ``a @ b`` into ``out``, which may be a slice of a larger array."""
    if xp is np:
        np.matmul(a, b, out=out)
    else:
        out[...] = xp.matmul(a, b)


def exp_in_place(xp: Any, x: Array) -> Array:
    """Return e^x, in the memory of ``x`` where the library can."""
    if xp is np:
        return np.exp(x, out=x)
    return x.exp_() if hasattr(x, "exp_") else xp.exp(x)


def keep(xp: Any, values: Array, mask: Array) -> Array:
    """Return ``values`` where ``mask`` is true and 0 elsewhere, also where a value is infinite."""
    if xp is not np or values.itemsize > 8:
        return xp.where(mask, values, 0)
    bits = values.view(f"i{values.itemsize}")  # bits times 0 or 1: eight times faster than where
    return (bits * mask).view(values.dtype)


def add_at(xp: Any, array: Array, columns: Array, value: float) -> None:
    """Add ``value`` to one element of each row of ``array`` (N, C): the one in ``columns`` (N,)."""
    rows = xp.arange(array.shape[0], device=array.device)
    if xp is np or hasattr(array, "index_put_"):
        array[rows, columns] += value
        return
    hit = xp.arange(array.shape[1], device=array.device)[None, :] == columns[:, None]
    array += value * xp.asarray(hit, dtype=array.dtype)  # the standard cannot write by index
