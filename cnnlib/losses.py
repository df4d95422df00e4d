"""Losses: one number that says how wrong a batch of predictions is, and its gradient."""

from typing import Any

from cnnlib import ops


class CrossEntropyLoss:
    """Softmax and cross-entropy in one, averaged over the batch.

    >>> import numpy as np
    >>> criterion = CrossEntropyLoss()
    >>> loss = criterion(np.log([[1.0, 2.0, 5.0]]), np.array([2]))  # p = 1/8, 2/8, 5/8
    >>> round(float(loss), 4), criterion.backward().round(4).tolist()
    (0.47, [[0.125, 0.25, -0.375]])
    """

    def __init__(self) -> None:
        self._cache: Any = None

    def __call__(self, logits, labels):
        """Mean loss over the batch.

        Args:
            logits: (N, K), before any softmax.
            labels: True classes, (N,) integers.

        Returns:
            The loss, as :func:`cnnlib.ops.cross_entropy_forward` returns it.
        """
        loss, self._cache = ops.cross_entropy_forward(logits, labels)
        return loss

    def backward(self):
        """Gradient of the mean loss with respect to the logits, (N, K).

        Raises:
            RuntimeError: If no loss was computed since the last call.
        """
        if self._cache is None:
            raise RuntimeError(
                "CrossEntropyLoss.backward: no forward pass to go back through; "
                "call criterion(logits, labels) first (one forward serves one backward)"
            )
        cache, self._cache = self._cache, None
        return ops.cross_entropy_backward(cache)

    def __repr__(self) -> str:
        return "CrossEntropyLoss()"
