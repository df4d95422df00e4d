"""Activation functions: ReLU, sigmoid and tanh, element by element."""

from typing import NamedTuple

from cnnlib._array import Array, is_floating, keep, namespace
from cnnlib.ops.geometry import check_shape


class ReluCache(NamedTuple):
    """What relu_backward needs."""

    x: Array


class SigmoidCache(NamedTuple):
    """What sigmoid_backward needs."""

    y: Array


class TanhCache(NamedTuple):
    """What tanh_backward needs."""

    y: Array


def relu_forward(x: Array) -> tuple[Array, ReluCache]:
    r"""Rectified linear unit.

    .. math:: y = \max(x, 0)

    Args:
        x: array of any shape.

    Returns:
        y of x's shape, and the cache for :func:`relu_backward`.

    Source: Nair and Hinton (2010), section 2; Fukushima (1980) used the same function before.
    """
    xp = namespace("relu", x=x)
    return xp.clip(x, 0, None), ReluCache(x)


def relu_backward(dy: Array, cache: ReluCache) -> Array:
    r"""Gradient of ReLU; at x = 0 the derivative is taken as 0.

    .. math:: dx = dy \cdot [x > 0]

    Args:
        dy: upstream gradient, of x's shape.
        cache: from :func:`relu_forward`.

    Returns:
        dx of x's shape.

    Raises:
        ValueError: dy has another shape than x.
    """
    (x,) = cache
    xp = namespace("relu_backward", x=x, dy=dy)
    check_shape("relu_backward", "dy", dy, x.shape)
    return keep(xp, dy, ~(x <= 0))  # written so that NaN passes its gradient on, as in torch


def sigmoid_forward(x: Array) -> tuple[Array, SigmoidCache]:
    r"""Logistic sigmoid, without overflow for large negative x.

    .. math:: y = \frac{1}{1 + e^{-x}}

    Args:
        x: array of any shape.

    Returns:
        y of x's shape, between 0 and 1, and the cache for :func:`sigmoid_backward`.

    Raises:
        TypeError: x holds no floating-point numbers.

    Source: Rumelhart, Hinton and Williams (1986), equation 2.
    """
    xp = namespace("sigmoid", x=x)
    if not is_floating(xp, x):
        raise TypeError(f"sigmoid: x must hold floating-point numbers, got {x.dtype}")
    e = xp.exp(-xp.abs(x))  # at most 1, whatever the sign of x
    y = xp.where(x < 0, e, 1) / (1 + e)
    return y, SigmoidCache(y)


def sigmoid_backward(dy: Array, cache: SigmoidCache) -> Array:
    r"""Gradient of the sigmoid.

    .. math:: dx = dy \cdot y (1 - y)

    Args:
        dy: upstream gradient, of y's shape.
        cache: from :func:`sigmoid_forward`.

    Returns:
        dx of y's shape.

    Raises:
        ValueError: dy has another shape than y.
    """
    (y,) = cache
    namespace("sigmoid_backward", y=y, dy=dy)
    check_shape("sigmoid_backward", "dy", dy, y.shape)
    return dy * y * (1 - y)


def tanh_forward(x: Array) -> tuple[Array, TanhCache]:
    r"""Hyperbolic tangent.

    .. math:: y = \tanh x = \frac{e^x - e^{-x}}{e^x + e^{-x}}

    Args:
        x: array of any shape.

    Returns:
        y of x's shape, between -1 and 1, and the cache for :func:`tanh_backward`.

    Source: LeCun et al. (1998), Efficient BackProp, section 4.4.
    """
    xp = namespace("tanh", x=x)
    y = xp.tanh(x)
    return y, TanhCache(y)


def tanh_backward(dy: Array, cache: TanhCache) -> Array:
    r"""Gradient of the hyperbolic tangent.

    .. math:: dx = dy \cdot (1 - y^2)

    Args:
        dy: upstream gradient, of y's shape.
        cache: from :func:`tanh_forward`.

    Returns:
        dx of y's shape.

    Raises:
        ValueError: dy has another shape than y.
    """
    (y,) = cache
    namespace("tanh_backward", y=y, dy=dy)
    check_shape("tanh_backward", "dy", dy, y.shape)
    return dy * (1 - y * y)
