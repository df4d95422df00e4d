"""The loss object: the value and the gradient of its equation, one backward per forward."""

import numpy as np
import pytest
import torch

from cnnlib import CrossEntropyLoss, ops
from cnnlib.gradcheck import numerical_gradient, relative_error

LOGITS = np.random.default_rng(0).standard_normal((4, 3))
LABELS = np.array([2, 0, 1, 1])


def test_value_and_gradient_are_those_of_torch():
    logits = torch.tensor(LOGITS, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(LABELS))
    expected.backward()
    criterion = CrossEntropyLoss()
    assert criterion(LOGITS, LABELS) == pytest.approx(expected.item(), abs=1e-12)
    np.testing.assert_allclose(criterion.backward(), logits.grad.numpy(), atol=1e-12)


def test_gradient_is_the_slope_of_the_value():
    criterion = CrossEntropyLoss()
    slope = numerical_gradient(lambda x: criterion(x, LABELS), LOGITS)
    criterion(LOGITS, LABELS)
    gradient = criterion.backward()
    assert relative_error(gradient, slope) < 1e-7
    # The mistake that this finds: p - y without the division by the batch.
    assert relative_error(gradient * len(LABELS), slope) > 0.1


def test_tensors_give_tensors():
    criterion = CrossEntropyLoss()
    criterion(torch.tensor(LOGITS), torch.tensor(LABELS))
    assert isinstance(criterion.backward(), torch.Tensor)


def test_float32_stays_float32():
    criterion = CrossEntropyLoss()
    criterion(LOGITS.astype(np.float32), LABELS)
    assert criterion.backward().dtype == np.float32


def test_backward_needs_a_forward_each_time():
    criterion = CrossEntropyLoss()
    message = "CrossEntropyLoss.backward: no forward pass to go back through"
    with pytest.raises(RuntimeError, match=message):
        criterion.backward()
    criterion(LOGITS, LABELS)
    criterion.backward()
    with pytest.raises(RuntimeError, match=message):
        criterion.backward()


def test_value_is_that_of_ops():
    assert CrossEntropyLoss()(LOGITS, LABELS) == ops.cross_entropy_forward(LOGITS, LABELS)[0]
    assert repr(CrossEntropyLoss()) == "CrossEntropyLoss()"
