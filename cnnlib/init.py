"""Starting values for weights: He for layers that feed a ReLU, Glorot for sigmoid and tanh."""

import math

import numpy as np


def fan_in_and_out(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs one output sums over, and how many outputs one input reaches.

    Args:
        shape: A weight's shape, (out, in) or (out, in / groups, kH, kW).

    Returns:
        ``(fan_in, fan_out)``; for a convolution both count the kernel's positions.

    Raises:
        ValueError: If the shape has fewer than two axes: a bias has no fan.

    Source: Glorot & Bengio (2010), section 4.2.1; counted as ``torch.nn.init`` counts.

    >>> fan_in_and_out((8, 3, 5, 5))
    (75, 200)
    """
    if len(shape) < 2:
        raise ValueError(f"init: a weight has at least 2 axes, (out, in, ...), got shape {shape}")
    positions = math.prod(shape[2:])
    return shape[1] * positions, shape[0] * positions


def he_normal(shape, rng=None, *, dtype=np.float32) -> np.ndarray:
    r"""Normal weights that keep the variance of activations through a ReLU.

    .. math:: w \sim N(0, 2 / \text{fan\_in})

    A ReLU throws half of the variance away; the 2 brings it back.

    Args:
        shape: (out, in) or (out, in / groups, kH, kW).
        rng: A ``numpy.random.Generator``, an int seed or None.
        dtype: Type of the result; the draw itself is in float64, so that a float32 and a
            float64 network with one seed start at the same point.

    Returns:
        Array of the given shape.

    Source: He et al. (2015), Delving Deep into Rectifiers, equation 10.
    """
    fan_in, _ = fan_in_and_out(shape)
    return _normal(shape, math.sqrt(2 / fan_in), rng, dtype)


def he_uniform(shape, rng=None, *, dtype=np.float32) -> np.ndarray:
    r"""Uniform weights with the variance of :func:`he_normal`.

    .. math:: w \sim U(-a, a), \quad a = \sqrt{6 / \text{fan\_in}}

    Args:
        shape: (out, in) or (out, in / groups, kH, kW).
        rng: A ``numpy.random.Generator``, an int seed or None.
        dtype: Type of the result.

    Returns:
        Array of the given shape.

    Source: He et al. (2015); the variance of U(-a, a) is a^2 / 3.
    """
    fan_in, _ = fan_in_and_out(shape)
    return _uniform(shape, math.sqrt(6 / fan_in), rng, dtype)


def glorot_normal(shape, rng=None, *, dtype=np.float32) -> np.ndarray:
    r"""Normal weights, a compromise between keeping activations and keeping gradients.

    .. math:: w \sim N(0, 2 / (\text{fan\_in} + \text{fan\_out}))

    Args:
        shape: (out, in) or (out, in / groups, kH, kW).
        rng: A ``numpy.random.Generator``, an int seed or None.
        dtype: Type of the result.

    Returns:
        Array of the given shape.

    Source: Glorot & Bengio (2010), equation 12.
    """
    fan_in, fan_out = fan_in_and_out(shape)
    return _normal(shape, math.sqrt(2 / (fan_in + fan_out)), rng, dtype)


def glorot_uniform(shape, rng=None, *, dtype=np.float32) -> np.ndarray:
    r"""Uniform weights with the variance of :func:`glorot_normal`.

    .. math:: w \sim U(-a, a), \quad a = \sqrt{6 / (\text{fan\_in} + \text{fan\_out})}

    Args:
        shape: (out, in) or (out, in / groups, kH, kW).
        rng: A ``numpy.random.Generator``, an int seed or None.
        dtype: Type of the result.

    Returns:
        Array of the given shape.

    Source: Glorot & Bengio (2010), equation 16.
    """
    fan_in, fan_out = fan_in_and_out(shape)
    return _uniform(shape, math.sqrt(6 / (fan_in + fan_out)), rng, dtype)


def _normal(shape, std, rng, dtype):
    return (std * np.random.default_rng(rng).standard_normal(shape)).astype(dtype)


def _uniform(shape, bound, rng, dtype):
    return np.random.default_rng(rng).uniform(-bound, bound, shape).astype(dtype)
