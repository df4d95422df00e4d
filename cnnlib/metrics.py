"""Counting what a classifier gets right: accuracy, confusion matrix, precision and recall."""

from typing import NamedTuple

import numpy as np


class PrecisionRecallF1(NamedTuple):
    """One value per class; ``.precision.mean()`` is the macro average."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def accuracy(predictions, labels) -> float:
    """Share of the samples that are classified right.

    Args:
        predictions: Predicted classes (N,), or logits or probabilities (N, K), of which the
            largest counts.
        labels: True classes (N,).

    Returns:
        A number from 0 to 1.

    Raises:
        ValueError: If shapes do not fit or there is no sample.

    >>> accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.ndim == 2:
        predictions = np.argmax(predictions, axis=1)
    _check_pair("accuracy", predictions, labels)
    return float(np.mean(predictions == labels))


def top_k_accuracy(logits, labels, k: int) -> float:
    """Share of the samples whose true class is among the k largest logits.

    Equal logits rank in the order of their classes, so that for finite ones k = 1 is
    :func:`accuracy`.

    Args:
        logits: Logits or probabilities (N, K).
        labels: True classes (N,).
        k: How many guesses are allowed, 1 to K.

    Returns:
        A number from 0 to 1.

    Raises:
        ValueError: If shapes do not fit, there is no sample, or k is out of range.

    Source: Russakovsky et al. (2015), section 4.1: ILSVRC counts top-5 errors.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2:
        raise ValueError(f"top_k_accuracy: logits must be (N, K), got shape {logits.shape}")
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(f"top_k_accuracy: k must be 1 to {logits.shape[1]} classes, got {k}")
    _check_pair("top_k_accuracy", logits[:, 0], labels)
    best = np.argsort(-logits.astype(np.float64), axis=1, kind="stable")[
        :, :k
    ]  # (N, k); NaN sorts last
    return float(np.mean(np.any(best == labels[:, None], axis=1)))


def confusion_matrix(labels, predictions, num_classes: int) -> np.ndarray:
    """How often each true class is taken for each class.

    Args:
        labels: True classes (N,).
        predictions: Predicted classes (N,).
        num_classes: K.

    Returns:
        Counts (K, K), int64: row = true class, column = prediction.

    Raises:
        ValueError: If shapes do not fit, or a class is not an integer from 0 to K - 1.

    >>> confusion_matrix([0, 1, 1], [0, 1, 0], 2).tolist()
    [[1, 0], [1, 1]]
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    _check_pair("confusion_matrix", predictions, labels)
    for name, values in (("labels", labels), ("predictions", predictions)):
        if values.dtype.kind not in "iu":
            raise ValueError(f"confusion_matrix: {name} must be integers, got {values.dtype}")
        if values.min() < 0 or values.max() >= num_classes:
            raise ValueError(
                f"confusion_matrix: {name} must lie in 0..{num_classes - 1}, "
                f"got {values.min()}..{values.max()}"
            )
    cells = labels.astype(np.int64) * num_classes + predictions.astype(np.int64)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def precision_recall_f1(matrix) -> PrecisionRecallF1:
    r"""Precision, recall and F1 of every class, from a confusion matrix.

    .. math::
        P = \frac{TP}{TP + FP}, \quad R = \frac{TP}{TP + FN}, \quad F_1 = \frac{2 P R}{P + R}

    Precision: of what was called a cat, how much is one? Recall: of the cats, how many were found?

    Args:
        matrix: Confusion matrix (K, K), row = true class.

    Returns:
        Three arrays (K,), float64; where a ratio is 0 / 0 it counts as 0.

    Raises:
        ValueError: If the matrix is not square.

    Source: van Rijsbergen (1979), Information Retrieval, chapter 7.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"precision_recall_f1: matrix must be square, got shape {matrix.shape}")
    hits = np.diagonal(matrix).astype(np.float64)  # (K,) TP
    called = matrix.sum(axis=0)  # (K,) TP + FP
    present = matrix.sum(axis=1)  # (K,) TP + FN
    return PrecisionRecallF1(
        _ratio(hits, called), _ratio(hits, present), _ratio(2 * hits, called + present)
    )


def _ratio(part, whole):
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _check_pair(name, predictions, labels):
    if labels.ndim != 1 or predictions.shape != labels.shape:
        raise ValueError(
            f"{name}: one label per sample is needed, got predictions for "
            f"{predictions.shape} and labels {labels.shape}"
        )
    if labels.shape[0] == 0:
        raise ValueError(f"{name}: there is no sample to count")
