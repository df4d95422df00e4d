"""The dense (fully connected) layer and dropout."""

from math import prod
from typing import NamedTuple

import numpy as np

from cnnlib._array import Array, is_floating, like, namespace
from cnnlib.ops.geometry import check_rank, check_shape


class LinearCache(NamedTuple):
    """What linear_backward needs."""

    x: Array
    weight: Array
    bias: Array | None


class DropoutCache(NamedTuple):
    """What dropout_backward needs; mask is None where nothing was dropped."""

    mask: Array | None


def linear_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, LinearCache]:
    r"""Dense layer: every output is a weighted sum of all inputs.

    .. math:: y_{no} = \sum_i x_{ni} w_{oi} + b_o

    Args:
        x: inputs (..., I), any number of leading axes.
        weight: (O, I); or (I,), for one output without an axis of its own.
        bias: (O,) or None.

    Returns:
        y (..., O), and the cache for :func:`linear_backward`.

    Raises:
        ValueError: weight or bias does not fit x.
        TypeError: the arrays differ in library or dtype.

    Source: Goodfellow, Bengio and Courville (2016), Deep Learning, section 6.1.
    """
    xp = namespace("linear", x=x, weight=weight, bias=bias)
    _check_linear(x, weight, bias)
    y = xp.matmul(x, weight.T if weight.ndim == 2 else weight)  # (..., I) @ (I, O) -> (..., O)
    if bias is not None:
        y += bias
    return y, LinearCache(x, weight, bias)


def linear_backward(dy: Array, cache: LinearCache) -> tuple[Array, Array, Array | None]:
    r"""Gradients of the dense layer.

    .. math::
        dx = dy \, W, \qquad dW = dy^T x, \qquad db_o = \sum_n dy_{no}

    Args:
        dy: upstream gradient (..., O).
        cache: from :func:`linear_forward`.

    Returns:
        dx (..., I), dweight (O, I), dbias (O,) or None where bias was None.

    Raises:
        ValueError: dy has another shape than y.
    """
    x, weight, bias = cache
    xp = namespace("linear_backward", x=x, dy=dy)
    check_shape("linear_backward", "dy", dy, (*x.shape[:-1], *weight.shape[:-1]))
    shape, rows = weight.shape, prod(x.shape[:-1])
    if weight.ndim == 1:
        dy, weight = dy[..., None], weight[None, :]
    flat_x = xp.reshape(x, (rows, weight.shape[1]))  # (N, I)
    flat_dy = xp.reshape(dy, (rows, weight.shape[0]))  # (N, O)
    dx = xp.matmul(dy, weight)  # (..., O) @ (O, I) -> (..., I)
    dweight = xp.matmul(flat_dy.T, flat_x)  # (O, N) @ (N, I) -> (O, I)
    dbias = None if bias is None else xp.sum(flat_dy, axis=0)  # (O,)
    return dx, xp.reshape(dweight, shape), dbias


def _check_linear(x: Array, weight: Array, bias: Array | None) -> None:
    if weight.ndim != 1 or bias is not None:
        check_rank("linear", "weight", weight, 2, "(O, I)")
    if x.ndim == 0 or x.shape[-1] != weight.shape[-1]:
        raise ValueError(
            f"linear: x must have {weight.shape[-1]} features on its last axis: "
            f"x {tuple(x.shape)}, weight {tuple(weight.shape)}"
        )
    if bias is not None:
        check_shape("linear", "bias", bias, (weight.shape[0],))


def dropout_forward(
    x: Array, *, p: float, rng: np.random.Generator | None, training: bool = True
) -> tuple[Array, DropoutCache]:
    r"""Inverted dropout: zero each element with probability p, scale up the others.

    .. math:: y = \frac{x \cdot m}{1 - p}, \qquad m_i \sim \mathrm{Bernoulli}(1 - p)

    The scaling keeps the expected value, so that nothing has to change at test time.

    Args:
        x: array of any shape.
        p: probability of dropping an element, 0 <= p <= 1.
        rng: the NumPy generator that draws the mask; not used when training is False.
        training: False returns x unchanged.

    Returns:
        y of x's shape, and the cache for :func:`dropout_backward`.

    Raises:
        ValueError: p is not a probability.
        TypeError: training without a generator, or x holds no floating-point numbers.

    Source: Srivastava et al. (2014), Dropout, section 4 and (for the scaling) section 10.
    """
    xp = namespace("dropout", x=x)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be a probability between 0 and 1, got {p}")
    if not training or p == 0:
        return x, DropoutCache(None)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"dropout: rng must be a numpy.random.Generator, got {type(rng).__name__}")
    if not is_floating(xp, x):
        raise TypeError(f"dropout: x must hold floating-point numbers, got {x.dtype}")
    scale = 0.0 if p == 1 else 1 / (1 - p)
    mask = like(xp, (rng.random(tuple(x.shape)) >= p) * scale, x)
    return x * mask, DropoutCache(mask)


def dropout_backward(dy: Array, cache: DropoutCache) -> Array:
    r"""Gradient of dropout: the same mask and the same scale.

    .. math:: dx = \frac{dy \cdot m}{1 - p}

    Args:
        dy: upstream gradient, of x's shape.
        cache: from :func:`dropout_forward`.

    Returns:
        dx of x's shape.

    Raises:
        ValueError: dy has another shape than x.
    """
    (mask,) = cache
    if mask is None:
        return dy
    namespace("dropout_backward", mask=mask, dy=dy)
    check_shape("dropout_backward", "dy", dy, mask.shape)
    return dy * mask
