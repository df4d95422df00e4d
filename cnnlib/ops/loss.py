"""Softmax and the cross-entropy loss."""

from math import prod
from numbers import Real
from typing import Any, NamedTuple

from cnnlib._array import (
    Array,
    add_at,
    exp_in_place,
    is_floating,
    is_integer,
    namespace,
    same_device,
)
from cnnlib.ops.geometry import check_shape


class CrossEntropyCache(NamedTuple):
    """What cross_entropy_backward needs; the exponentials are kept, not computed twice."""

    exponentials: Array  # e^(z - max z), (N, C, ...)
    total: Array  # their sum over the classes, (N, 1, ...)
    labels: Array
    target: "Target | None"  # None for plain class numbers and the mean
    shape: tuple  # of the loss


class Target(NamedTuple):
    """What the options of cross_entropy make of the labels."""

    wanted: Array  # weight times target probability, (N, C, ...)
    pull: Array  # its sum over the classes, (N, 1, ...)
    scale: float  # 1 / number of terms for the mean, else 1


def softmax(logits: Array, *, axis: int = -1) -> Array:
    r"""Turn logits into probabilities.

    .. math:: p_k = \frac{e^{z_k - m}}{\sum_j e^{z_j - m}}, \qquad m = \max_j z_j

    Subtracting the maximum changes nothing in the quotient and keeps the exponentials below 1.

    Args:
        logits: scores (..., C) along ``axis``.
        axis: the axis of the classes.

    Returns:
        p of the same shape; sums to 1 along ``axis``.

    Raises:
        TypeError: logits are no floating-point numbers.

    Source: Bridle (1990); Goodfellow, Bengio and Courville (2016), sections 4.1 and 6.2.2.3.
    """
    xp = _check_logits("softmax", logits)
    e = xp.exp(logits - xp.max(logits, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


def log_softmax(logits: Array, *, axis: int = -1) -> Array:
    r"""Logarithm of the softmax, exact where the probability itself would round to 0.

    .. math:: \log p_k = (z_k - m) - \log \sum_j e^{z_j - m}

    Args:
        logits: scores (..., C) along ``axis``.
        axis: the axis of the classes.

    Returns:
        log p of the same shape.

    Raises:
        TypeError: logits are no floating-point numbers.

    Source: Goodfellow, Bengio and Courville (2016), section 6.2.2.3.
    """
    xp = _check_logits("log_softmax", logits)
    z = logits - xp.max(logits, axis=axis, keepdims=True)
    return z - xp.log(xp.sum(xp.exp(z), axis=axis, keepdims=True))


def cross_entropy_forward(
    logits: Array,
    labels: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tuple[Any, CrossEntropyCache]:
    r"""Surprise of the softmax of the logits at the right answer, in nats, mean over the batch.

    .. math:: L = -\frac{1}{N} \sum_n \log p_{n, y_n}, \qquad p_n = \mathrm{softmax}(z_n)

    Args:
        logits: (N, C) or (N, C, d1, d2, ...).
        labels: class numbers (N,) or (N, d1, d2, ...) of an integer type, or class
            probabilities of the logits' shape and type.
        weight: weight of each class (C,), or None.
        ignore_index: class number of the labels that do not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: share of the target that is spread over all classes.

    Returns:
        The loss (a scalar; of the labels' shape for "none"), and the cache for
        :func:`cross_entropy_backward`. The mean over nothing is NaN, as in torch.

    Raises:
        ValueError: shapes do not fit or a label is out of range.
        TypeError: labels of a wrong type.

    Source: Goodfellow, Bengio and Courville (2016), sections 3.13 and 6.2.2.3.
    """
    options = weight, ignore_index, reduction, label_smoothing
    xp, labels, all_count = _check_cross_entropy(logits, labels, *options)
    label_smoothing = float(label_smoothing)  # a NumPy number would turn float32 into float64
    z = logits - xp.max(logits, axis=1, keepdims=True)  # (N, C)
    if all_count and weight is None and reduction == "mean" and not label_smoothing:
        right = z[xp.arange(labels.shape[0], device=labels.device), labels]  # (N,)
        exponentials = exp_in_place(xp, z)  # (N, C)
        total = xp.sum(exponentials, axis=1, keepdims=True)  # (N, 1)
        loss = xp.mean(xp.log(total[:, 0]) - right)
        return loss, CrossEntropyCache(exponentials, total, labels, None, ())
    exponentials = xp.exp(z)  # (N, C, ...)
    total = xp.sum(exponentials, axis=1, keepdims=True)  # (N, 1, ...)
    target = _target(xp, logits, labels, weight, ignore_index, reduction, label_smoothing)
    minus_log_p = xp.where(target.wanted == 0, 0, xp.log(total) - z)  # 0 log 0 is 0
    surprise = xp.sum(target.wanted * minus_log_p, axis=1)  # (N, ...)
    loss = surprise if reduction == "none" else xp.sum(surprise) * target.scale
    return loss, CrossEntropyCache(exponentials, total, labels, target, tuple(loss.shape))


def cross_entropy_backward(cache: CrossEntropyCache, dloss: Any = None) -> Array:
    r"""Gradient of the loss: what the network says minus what it should say.

    .. math:: dz_{nk} = \frac{p_{nk} - [k = y_n]}{N}

    Args:
        cache: from :func:`cross_entropy_forward`.
        dloss: upstream gradient, of the loss's shape; 1 where None.

    Returns:
        dlogits (N, C, ...).

    Raises:
        ValueError: dloss has another shape than the loss.
        TypeError: dloss is of another library or dtype.

    Source: the chain rule; Bishop (2006), equation 4.109.
    """
    exponentials, total, labels, target, shape = cache
    if target is None:
        xp = namespace("cross_entropy_backward", exponentials=exponentials)
        n = labels.shape[0]
        dlogits = exponentials / total  # p, (N, C)
        dlogits /= n
        add_at(xp, dlogits, labels, -1 / n)  # -1 / N at each right answer
    else:
        dlogits = (exponentials / total * target.pull - target.wanted) * target.scale
    if dloss is None:
        return dlogits
    if isinstance(dloss, Real):
        return dlogits * float(dloss)
    namespace("cross_entropy_backward", exponentials=exponentials, dloss=dloss)
    check_shape("cross_entropy_backward", "dloss", dloss, shape)
    return dlogits * (dloss[:, None, ...] if shape else dloss)


def _target(
    xp: Any,
    logits: Array,
    labels: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Target:
    """Turn labels and options into one weighted target for each image, class and pixel."""
    classes = logits.shape[1]
    column = (1, classes, *[1] * (logits.ndim - 2))
    if weight is None:
        weight = xp.ones((classes,), dtype=logits.dtype, device=logits.device)
    share = xp.reshape(weight, column)  # (1, C, ...)
    if labels.ndim == logits.ndim:  # probabilities
        wanted, count = labels, labels.shape[0] * prod(labels.shape[2:])
    else:
        numbers = xp.arange(classes, dtype=labels.dtype, device=labels.device)
        hit = xp.reshape(numbers, column) == labels[:, None, ...]  # (N, C, ...)
        share = xp.where((labels != ignore_index)[:, None, ...], share, 0)  # (N, C, ...)
        wanted = xp.asarray(hit, dtype=logits.dtype)
        count = float(xp.sum(wanted * share))
    if smoothing:
        wanted = wanted * (1 - smoothing) + smoothing / classes
    wanted = wanted * share
    scale = 1.0
    if reduction == "mean":
        scale = 1 / count if count else float("nan")
    return Target(wanted, xp.sum(wanted, axis=1, keepdims=True), scale)


def _check_logits(where: str, logits: Array) -> Any:
    xp = namespace(where, logits=logits)
    if not is_floating(xp, logits):
        raise TypeError(f"{where}: logits must be floating-point numbers, got {logits.dtype}")
    return xp


def _check_cross_entropy(
    logits: Array,
    labels: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> tuple[Any, Array, bool]:
    """Raise, or return the library, the labels, and whether they are (N,) and all count."""
    where = "cross_entropy"
    xp = _check_logits(where, logits)
    if weight is not None:
        namespace(where, logits=logits, weight=weight)
    if namespace(where, labels=labels) is not xp:
        raise TypeError(
            f"{where}: logits and labels come from different libraries: "
            f"{type(logits).__module__} and {type(labels).__module__}"
        )
    same_device(where, "logits", logits, "labels", labels)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{where}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    if not 0 <= smoothing <= 1:
        raise ValueError(f"{where}: label_smoothing must be between 0 and 1, got {smoothing}")
    if logits.ndim < 2:
        raise ValueError(
            f"{where}: logits must have at least 2 axes (N, C, ...), got {tuple(logits.shape)}"
        )
    n, classes, *rest = logits.shape
    if weight is not None:
        check_shape(where, "weight", weight, (classes,))
    if tuple(labels.shape) == tuple(logits.shape):
        if labels.dtype != logits.dtype:
            raise TypeError(
                f"{where}: labels of the logits' shape are probabilities and must have the "
                f"logits' dtype: {labels.dtype} and {logits.dtype}"
            )
        if ignore_index >= 0:
            raise ValueError(
                f"{where}: ignore_index needs labels that are class numbers, not probabilities"
            )
        return xp, labels, False
    if not is_integer(xp, labels):
        raise TypeError(f"{where}: labels must be integers (class numbers), got {labels.dtype}")
    if tuple(labels.shape) != (n, *rest):
        raise ValueError(
            f"{where}: labels must have shape {(n, *rest)}: "
            f"logits {tuple(logits.shape)}, labels {tuple(labels.shape)}"
        )
    labels = xp.asarray(labels, dtype=xp.int64)
    inside = (labels >= 0) & (labels < classes)
    if xp.all(inside):
        return xp, labels, n > 0 and not rest and not 0 <= ignore_index < classes
    wrong = ~inside & (labels != ignore_index)
    if xp.any(wrong):
        raise ValueError(
            f"{where}: labels must be class numbers from 0 to {classes - 1}: "
            f"found {int(labels[wrong][0])}"
        )
    return xp, labels, False
