"""Is "90 % sure" right nine times in ten? Calibration, and the temperature that mends it."""

from typing import NamedTuple

import numpy as np


class Reliability(NamedTuple):
    """Answers sorted into bins by confidence; one value per bin, NaN where a bin is empty."""

    confidence: np.ndarray  # mean probability of the answers
    accuracy: np.ndarray  # share of them that is right
    number: np.ndarray  # how many there are


def reliability(probabilities, labels, bins: int = 10) -> Reliability:
    """Confidence and accuracy of the answers, bin by bin.

    The confidence of an answer is the largest of the K probabilities. The bins cut 0 to 1 into
    equal parts; each holds its upper end.

    Args:
        probabilities: (N, K), each row adds up to 1.
        labels: True classes (N,).
        bins: How many.

    Returns:
        :class:`Reliability`, arrays (bins,).

    Raises:
        ValueError: If shapes do not fit, there is no sample, rows do not add up to 1 or bins is
            less than 1.

    Source: Guo et al. (2017), On Calibration of Modern Neural Networks, section 2.
    """
    probabilities, labels = _checked("reliability", probabilities, labels)
    if not isinstance(bins, int | np.integer) or bins < 1:
        raise ValueError(f"reliability: bins must be an int of at least 1, got {bins!r}")
    close = np.abs(probabilities.sum(axis=1) - 1) <= 1e-3  # False for NaN, too
    if not np.all(probabilities >= 0) or not np.all(close):
        raise ValueError("reliability: each row of probabilities must add up to 1")
    confidence = np.max(probabilities, axis=1)  # (N,)
    right = np.argmax(probabilities, axis=1) == labels
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            np.bincount(which, confidence, bins) / count,
            np.bincount(which, right, bins) / count,
            count,
        )


def expected_calibration_error(probabilities, labels, bins: int = 10) -> float:
    r"""How far confidence and accuracy are apart, on average (ECE).

    .. math:: \text{ECE} = \sum_b \frac{n_b}{N} \left| \text{acc}_b - \text{conf}_b \right|

    Args:
        probabilities: (N, K), each row adds up to 1.
        labels: True classes (N,).
        bins: How many.

    Returns:
        0 (calibrated) to 1.

    Raises:
        ValueError: As :func:`reliability`.

    Source: Naeini et al. (2015); Guo et al. (2017), equation 3.

    >>> expected_calibration_error([[0.75, 0.25]] * 4, [0, 0, 0, 1])
    0.0
    """
    confidence, accuracy, number = reliability(probabilities, labels, bins)
    used = number > 0
    gaps = np.abs(accuracy[used] - confidence[used])
    return float(np.sum(gaps * number[used]) / np.sum(number))


def temperature(logits, labels, *, lowest: float = 0.05, highest: float = 20.0) -> float:
    r"""The number T for which softmax(logits / T) fits the labels best: temperature scaling.

    It minimises the mean cross-entropy, a convex function of :math:`\beta = 1 / T`, by halving
    the interval in which its slope changes sign. The slope is the mean of
    :math:`\sum_k p_k z_k - z_y`. Accuracy does not change.

    Args:
        logits: (N, K), of data that the network was not trained on.
        labels: True classes (N,).
        lowest: Smallest T that is considered.
        highest: Largest.

    Returns:
        T; above 1 the network was too sure of itself.

    Raises:
        ValueError: If shapes do not fit, there is no sample, or a logit is not finite.

    Source: Guo et al. (2017), section 4.2.
    """
    logits, labels = _checked("temperature", logits, labels)
    if not np.isfinite(logits).all():
        raise ValueError("temperature: logits must be finite")
    true = logits[np.arange(len(labels)), labels]

    def slope(beta: float) -> float:
        weights = np.exp(beta * (logits - logits.max(axis=1, keepdims=True)))
        mean = np.sum(weights * logits, axis=1) / np.sum(weights, axis=1)
        return float(np.mean(mean - true))

    low, high = 1 / highest, 1 / lowest
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


def _checked(name: str, values, labels) -> tuple[np.ndarray, np.ndarray]:
    values, labels = np.asarray(values, dtype=np.float64), np.asarray(labels)
    if values.ndim != 2 or labels.shape != values.shape[:1] or len(labels) == 0:
        raise ValueError(
            f"{name}: needs (N, K) and (N,) with N at least 1, got {values.shape} and "
            f"{labels.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= values.shape[1]:
        raise ValueError(f"{name}: labels must be integers from 0 to {values.shape[1] - 1}")
    return values, labels
