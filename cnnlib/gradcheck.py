"""Is a hand-written gradient right? Compare it with a difference quotient."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


class GradientMismatch(AssertionError):
    """A backward function disagrees with the numerical derivative of its forward function."""


@dataclass(frozen=True)
class Report:
    """What :func:`gradcheck` found: the relative error of each gradient, by argument."""

    errors: dict[str, float]
    tol: float

    def __repr__(self) -> str:
        # Only the verdict: the errors' digits differ between machines, and notebooks compare text.
        names = ", ".join(f"d{name}" for name in self.errors)
        return f"gradcheck passed: {names} within {self.tol:g} of the numerical gradient"


def numerical_gradient(f: Callable, x, *, eps: float = 1e-6) -> np.ndarray:
    r"""Derivative of a scalar function by central differences, one entry of x at a time.

    .. math:: \frac{\partial f}{\partial x_i} \approx
        \frac{f(x + \epsilon e_i) - f(x - \epsilon e_i)}{2 \epsilon}

    The error shrinks with :math:`\epsilon^2` until rounding takes over; 1e-6 is near the best in
    float64, and float32 is useless here.

    Args:
        f: Function of one array that returns a number.
        x: Where to differentiate, any shape; it is not written to.
        eps: Step.

    Returns:
        Array of the shape of x, float64. It costs two calls of f for each entry of x.

    Source: Nocedal & Wright (2006), Numerical Optimization, section 8.1.

    >>> numerical_gradient(lambda x: float(np.sum(x**2)), [1.0, -3.0]).round(6).tolist()
    [2.0, -6.0]
    """
    x = np.asarray(x, dtype=np.float64)
    gradient = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        above, below = x.copy(), x.copy()
        above[index] += eps
        below[index] -= eps
        gradient[index] = (float(f(above)) - float(f(below))) / (2 * eps)
    return gradient


def relative_error(a, b) -> float:
    r"""Distance of two gradients, independent of their scale.

    .. math:: \frac{\lVert a - b \rVert}{\lVert a \rVert + \lVert b \rVert}

    Args:
        a: Array.
        b: Array of the same shape.

    Returns:
        0 for equal arrays (two arrays of zeros too), at most 1; NaN if either holds a NaN.

    Raises:
        ValueError: If the shapes differ.

    >>> relative_error([1.0, 0.0], [0.0, 0.0])
    1.0
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"relative_error: shapes differ, {a.shape} and {b.shape}")
    size = float(np.linalg.norm(a.ravel()) + np.linalg.norm(b.ravel()))
    # np.maximum, unlike max, lets a NaN through.
    return float(np.linalg.norm((a - b).ravel()) / np.maximum(size, np.finfo(np.float64).tiny))


def gradcheck(
    forward: Callable,
    backward: Callable,
    inputs: Sequence,
    *,
    rng=0,
    eps: float = 1e-6,
    tol: float = 1e-6,
    options: Mapping | None = None,
) -> Report:
    r"""Check every gradient of a forward/backward pair, in float64.

    The output is projected on a random upstream gradient, :math:`f = \sum y \cdot dy`: with all
    ones instead, a flipped or transposed gradient can pass.

    Args:
        forward: ``y, cache = forward(*inputs, **options)``.
        backward: ``backward(dy, cache)`` gives one gradient, or a tuple with one per input.
        inputs: Arrays, or None for an argument that is left out, such as a bias.
        rng: A ``numpy.random.Generator`` or an int seed, for the upstream gradient.
        eps: Step of the central differences.
        tol: Largest relative error allowed.
        options: Keyword arguments for forward.

    Returns:
        :class:`Report` with the relative error of each gradient.

    Raises:
        GradientMismatch: Names the argument, the worst index and both values.

    Source: the random projection follows ``check_vjp`` of autodidact.
    """
    options = dict(options or {})
    arrays = [None if x is None else np.array(x, dtype=np.float64) for x in inputs]
    names = _argument_names(forward, len(arrays))
    y, cache = forward(*arrays, **options)
    # Not default_rng(rng) itself: who drew x from the same seed would get dy equal to x.
    source = rng if isinstance(rng, np.random.Generator) else np.random.default_rng([rng, 1])
    dy = source.standard_normal(np.shape(y))
    gradients = backward(dy, cache)
    if not isinstance(gradients, tuple | list):
        gradients = (gradients,)
    if len(gradients) != len(arrays):
        raise GradientMismatch(
            f"gradcheck: backward returned {len(gradients)} gradients for {len(arrays)} inputs"
        )

    errors = {}
    for position, (name, x, gradient) in enumerate(zip(names, arrays, gradients, strict=True)):
        if x is None or gradient is None:
            if x is not None or gradient is not None:
                given, got = ("an array", "None") if gradient is None else ("None", "an array")
                raise GradientMismatch(f"gradcheck: {name} is {given} but d{name} is {got}")
            continue

        def projected(moved, position=position):
            args = [*arrays[:position], moved, *arrays[position + 1 :]]
            return np.sum(forward(*args, **options)[0] * dy)

        errors[name] = _compare(name, gradient, numerical_gradient(projected, x, eps=eps), tol)
    return Report(errors, tol)


def _compare(name: str, gradient, numerical, tol: float) -> float:
    gradient = np.asarray(gradient)
    if gradient.shape != numerical.shape:
        raise GradientMismatch(
            f"gradcheck: d{name} has shape {gradient.shape} but {name} has {numerical.shape}"
        )
    error = relative_error(gradient, numerical)
    if error <= tol:  # false for NaN
        return error
    distance = np.abs(gradient - numerical)
    worst = np.unravel_index(
        np.argmax(np.where(np.isnan(distance), np.inf, distance)), distance.shape
    )
    index = tuple(int(i) for i in worst)
    raise GradientMismatch(
        f"gradcheck: d{name} is wrong, relative error {error:.1e} (allowed {tol:g}); worst at "
        f"index {index}: backward says {gradient[index]:.6g}, "
        f"the difference quotient {numerical[index]:.6g}"
    )


def _argument_names(forward: Callable, count: int) -> list[str]:
    """Names of the first arguments, for messages; a lambda's ``*args`` fall back to numbers."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(forward).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind in kinds]
    return (names + [f"input{i}" for i in range(len(names), count)])[:count]
