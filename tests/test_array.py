"""What hides the differences between the array libraries."""

import array_api_strict
import numpy as np
import pytest
import torch
from naive import host

from cnnlib import _array

PADS = ((1, 2), (0, 3))


def test_namespace_is_numpy_itself_for_numpy_arrays():
    assert _array.namespace("f", x=np.ones(2), bias=None) is np
    assert _array.namespace("f", x=torch.ones(2)).__name__ == "array_api_compat.torch"


@pytest.mark.parametrize("array", [1.0, [1.0], None.__class__, "text"])
def test_namespace_refuses_what_is_no_array(array):
    with pytest.raises(TypeError, match=r"^f: x must be an array \(NumPy, torch, \.\.\.\), got "):
        _array.namespace("f", x=array)


def test_namespace_refuses_mixtures():
    with pytest.raises(TypeError, match="x and w come from different libraries: torch and numpy"):
        _array.namespace("f", x=torch.ones(1), w=np.ones(1))
    with pytest.raises(TypeError, match="same dtype: int64 and float64"):
        _array.namespace("f", x=np.ones(1, int), w=np.ones(1))
    with pytest.raises(ValueError, match="same device: cpu and meta"):
        _array.namespace("f", x=torch.ones(1), w=torch.ones(1, device="meta"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_pad_puts_a_border_around(xp, dtype):
    x = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(dtype)
    array = xp(x)
    padded = _array.pad(_array.namespace("pad", x=array), array, PADS, 7)
    want = np.pad(x, ((0, 0), (0, 0), *PADS), constant_values=7)
    assert host(padded).dtype == dtype
    assert np.array_equal(host(padded), want)
    assert _array.pad(np, array, ((0, 0), (0, 0))) is array


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_keep_drops_even_what_is_not_finite(dtype):
    values = np.array([[1, np.nan, np.inf], [-2, -np.inf, 0]]).astype(dtype)
    mask = np.array([[True, False, False], [True, True, False]])
    for view in (values, np.repeat(values, 2, axis=1)[:, ::2]):
        kept = _array.keep(np, view, mask)
        assert kept.dtype == dtype
        assert np.array_equal(kept, np.array([[1, 0, 0], [-2, -np.inf, 0]]).astype(dtype))


def test_keep_and_add_at_and_like_on_every_library(xp):
    x = xp(np.arange(6.0).reshape(2, 3))
    library = _array.namespace("f", x=x)
    mask = library.asarray(x) > 2
    assert host(_array.keep(library, x, mask)).tolist() == [[0, 0, 0], [3, 4, 5]]
    array = library.zeros_like(x)
    _array.add_at(library, array, xp(np.array([2, 0])), -0.5)
    assert host(array).tolist() == [[0, 0, -0.5], [-0.5, 0, 0]]
    assert host(_array.like(library, np.ones(2, bool), x)).dtype == np.float64
    assert _array.on_cpu(x) == ("cuda" not in str(getattr(x, "device", "")))


def test_kinds_of_numbers():
    strict = array_api_strict
    for xp in (np, strict):
        assert _array.is_floating(xp, xp.ones(1))
        assert not _array.is_floating(xp, xp.ones(1, dtype=xp.int32))
        assert _array.is_integer(xp, xp.ones(1, dtype=xp.uint8))
        assert not _array.is_integer(xp, xp.ones(1, dtype=xp.bool))
