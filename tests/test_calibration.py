"""Calibration: bins as scikit-learn's, and the temperature that a search also finds."""

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve

from cnnlib import calibration


def answers(n=500, k=6, seed=0, sharpness=1.0):
    """Probabilities that are right, and the same logits made too sharp."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 1.5
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.sum(p.cumsum(axis=1) < rng.random((n, 1)), axis=1).clip(0, k - 1)
    return sharpness * logits, labels


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_by_hand():
    """Four answers at 0.75, three of them right; two at 0.95, one right."""
    p = [[0.75, 0.25]] * 4 + [[0.05, 0.95]] * 2
    labels = [0, 0, 0, 1, 1, 0]
    result = calibration.reliability(p, labels, bins=10)
    assert result.number.tolist() == [0] * 7 + [4, 0, 2]
    assert result.confidence[7] == pytest.approx(0.75)
    assert result.accuracy[7] == 0.75
    assert result.confidence[9] == pytest.approx(0.95)
    assert result.accuracy[9] == 0.5
    assert np.isnan(result.accuracy[0])
    ece = calibration.expected_calibration_error(p, labels)
    assert ece == pytest.approx(4 / 6 * 0 + 2 / 6 * 0.45)


def test_bins_hold_their_upper_end():
    result = calibration.reliability([[0.6, 0.4], [0.5, 0.5], [1.0, 0.0]], [0, 0, 0], bins=5)
    assert result.number.tolist() == [0, 0, 2, 0, 1]  # 0.5 and 0.6 in (0.4, 0.6]


@pytest.mark.parametrize("bins", [5, 10, 15])
def test_bins_are_those_of_scikit_learn(bins):
    logits, labels = answers()
    p = softmax(logits)
    right = (p.argmax(axis=1) == labels).astype(int)
    accuracy, confidence = calibration_curve(right, p.max(axis=1), n_bins=bins)
    ours = calibration.reliability(p, labels, bins)
    used = ours.number > 0
    np.testing.assert_allclose(ours.accuracy[used], accuracy, atol=1e-12)
    np.testing.assert_allclose(ours.confidence[used], confidence, atol=1e-12)


def test_honest_answers_have_a_small_error_and_boasts_a_large_one():
    logits, labels = answers(20_000)
    assert calibration.expected_calibration_error(softmax(logits), labels) < 0.02
    assert calibration.expected_calibration_error(softmax(3 * logits), labels) > 0.2


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0, 5.0])
def test_the_temperature_undoes_what_made_the_logits_too_sharp(sharpness):
    logits, labels = answers(20_000, sharpness=sharpness)
    assert calibration.temperature(logits, labels) == pytest.approx(sharpness, rel=0.06)


@pytest.mark.parametrize("sharpness", [1.0, 4.0])
def test_the_temperature_is_the_best_of_many(sharpness):
    logits, labels = answers(sharpness=sharpness)
    best = calibration.temperature(logits, labels)

    def loss(t):
        return float(torch.nn.functional.cross_entropy(
            torch.tensor(logits) / t, torch.tensor(labels)))  # fmt: skip

    tried = np.geomspace(0.1, 10, 2001)
    assert best == pytest.approx(tried[np.argmin([loss(t) for t in tried])], rel=0.003)
    assert loss(best) <= min(loss(best * 1.01), loss(best / 1.01))


def test_the_temperature_stays_within_its_limits():
    always_right, labels = np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 0])
    assert calibration.temperature(always_right, labels) == pytest.approx(0.05)
    assert calibration.temperature(-always_right, labels) == pytest.approx(20)
    huge = always_right * 1e6
    assert np.isfinite(calibration.temperature(huge, labels))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.5, 0.5]], [0, 1]), r"needs \(N, K\) and \(N,\)"),
        (([0.5, 0.5], [0, 1]), r"needs \(N, K\) and \(N,\)"),
        ((np.zeros((0, 2)), np.zeros(0, int)), "with N at least 1"),
        (([[0.5, 0.5]], [2]), "labels must be integers from 0 to 1"),
        (([[0.5, 0.5]], [0.0]), "labels must be integers from 0 to 1"),
        (([[2.0, -1.0]], [0]), "each row of probabilities must add up to 1"),
        (([[2.0, 1.0]], [0]), "each row of probabilities must add up to 1"),
        (([[np.nan, np.nan]], [0]), "each row of probabilities must add up to 1"),
        (([[0.5, 0.5]], [0], 0), "bins must be an int of at least 1, got 0"),
    ],
)
def test_complaints(arguments, message):
    with pytest.raises(ValueError, match=message):
        calibration.expected_calibration_error(*arguments)
    if len(arguments) == 2 and "row" not in message:
        with pytest.raises(ValueError, match=message):
            calibration.temperature(*arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_temperature_of_logits_that_are_no_numbers(value):
    with pytest.raises(ValueError, match=r"^temperature: logits must be finite$"):
        calibration.temperature([[value, 1.0], [2.0, 1.0]], [0, 0])
