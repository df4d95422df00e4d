"""Metrics against scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics as sk

from cnnlib import metrics

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((83, 5))
LABELS = RNG.integers(0, 5, 83)
PREDICTIONS = LOGITS.argmax(axis=1)


def test_accuracy():
    expected = sk.accuracy_score(LABELS, PREDICTIONS)
    assert 0 < expected < 1
    assert metrics.accuracy(PREDICTIONS, LABELS) == pytest.approx(expected)
    assert metrics.accuracy(LOGITS, LABELS) == pytest.approx(expected)
    assert isinstance(metrics.accuracy(LOGITS, LABELS), float)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k(k):
    expected = sk.top_k_accuracy_score(LABELS, LOGITS, k=k, labels=range(5))
    assert metrics.top_k_accuracy(LOGITS, LABELS, k) == pytest.approx(expected)


def test_all_classes_always_hold_the_true_one():
    assert metrics.top_k_accuracy(LOGITS, LABELS, 5) == 1


def test_top_1_is_accuracy_with_ties_too():
    tied = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0]])
    labels = np.array([1, 1])
    assert metrics.top_k_accuracy(tied, labels, 1) == metrics.accuracy(tied, labels) == 0.5


def test_many_equal_logits_rank_in_the_order_of_their_classes():
    # A long row: NumPy's default sort keeps the order of equal values only in short ones.
    labels = np.arange(400)
    logits = np.tile([0.0, 1.0], (400, 200))
    right = [metrics.top_k_accuracy(logits[i : i + 1], labels[i : i + 1], 3) for i in range(400)]
    assert np.flatnonzero(right).tolist() == [1, 3, 5]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_unsigned_scores_rank_like_others(dtype):
    assert metrics.top_k_accuracy(np.array([[0, 5, 3]], dtype), np.array([1]), 1) == 1
    assert metrics.top_k_accuracy(np.array([[0, 5, 3]], dtype), np.array([0]), 2) == 0


def test_nan_logits_are_no_hit():
    assert metrics.top_k_accuracy(np.array([[np.nan, 1.0, 0.0]]), np.array([0]), 2) == 0


def test_confusion_matrix():
    expected = sk.confusion_matrix(LABELS, PREDICTIONS, labels=range(5))
    assert not np.array_equal(expected, expected.T)  # a transposed answer would show
    np.testing.assert_array_equal(metrics.confusion_matrix(LABELS, PREDICTIONS, 5), expected)


def test_confusion_matrix_keeps_empty_classes():
    matrix = metrics.confusion_matrix([0, 2], [2, 2], 4)
    assert matrix.shape == (4, 4)
    assert matrix[0, 2] == matrix[2, 2] == 1
    assert matrix.sum() == 2


def test_confusion_matrix_of_bytes_does_not_overflow():
    labels = np.array([199], dtype=np.uint8)
    assert metrics.confusion_matrix(labels, labels, 200)[199, 199] == 1


def test_precision_recall_f1():
    # Class 5 is never true, class 6 never predicted: both ratios are 0 / 0 somewhere.
    labels, predictions = np.append(LABELS, [6, 0]), np.append(PREDICTIONS, [0, 5])
    matrix = metrics.confusion_matrix(labels, predictions, 7)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        labels, predictions, labels=range(7), zero_division=0
    )
    ours = metrics.precision_recall_f1(matrix)
    assert not np.allclose(precision, recall)
    np.testing.assert_allclose(ours.precision, precision)
    np.testing.assert_allclose(ours.recall, recall)
    np.testing.assert_allclose(ours.f1, f1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy([1, 2], [1]), r"got predictions for \(2,\) and labels \(1,\)"),
        (lambda: metrics.accuracy([], []), "there is no sample to count"),
        (lambda: metrics.top_k_accuracy(LOGITS, LABELS, 6), "k must be 1 to 5 classes, got 6"),
        (lambda: metrics.top_k_accuracy(LOGITS, LABELS, 0), "k must be 1 to 5 classes, got 0"),
        (lambda: metrics.top_k_accuracy(LABELS, LABELS, 1), r"logits must be \(N, K\)"),
        (lambda: metrics.confusion_matrix([0, 3], [0, 1], 3), r"labels must lie in 0..2, got 0..3"),
        (lambda: metrics.confusion_matrix([0, 1], [0, -1], 3), "predictions must lie in 0..2"),
        (lambda: metrics.confusion_matrix([0.0], [0], 3), "labels must be integers, got float64"),
        (lambda: metrics.precision_recall_f1(np.ones((2, 3))), r"square, got shape \(2, 3\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
