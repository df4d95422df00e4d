"""SoftmaxExplorer: from logits to probabilities, loss and gradient, every number in view."""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnlib.interactive._element import Element, array, number, paragraph, plain, text_block, whole


def _four(value: float) -> str:
    return f"{value:.4f}".replace("-", "\u2212")


class SoftmaxExplorer(Element):
    """Move the logits of one picture and watch softmax, cross-entropy and the gradient.

    Args:
        logits: Scores of shape (K,), 2 to 12 of them, each between -50 and 50.
        label: Index of the true class.
        names: Names of the classes; "class 0", "class 1", ... if None.
        temperature: The logits are divided by it before softmax, 0.1 to 5.

    Raises:
        ValueError: If an argument is outside these limits.

    Source: Goodfellow, Bengio and Courville, Deep Learning, section 6.2.2.3 (softmax units).
    """

    script = "softmax_explorer.js"
    title = "Softmax and cross-entropy"

    def __init__(
        self,
        logits: Any,
        label: int = 0,
        names: Sequence[str] | None = None,
        *,
        temperature: float = 1.0,
    ) -> None:
        self.logits = array("SoftmaxExplorer", "logits", logits, 1)
        k = self.logits.size
        if not 2 <= k <= 12 or np.abs(self.logits).max() > 50:
            raise ValueError(
                "SoftmaxExplorer: logits must be 2 to 12 numbers between -50 and 50: "
                f"logits {self.logits.shape}, largest magnitude {np.abs(self.logits).max():g}"
            )
        self.label = whole("SoftmaxExplorer", "label", label, 0, k - 1)
        self.names = [f"class {i}" for i in range(k)] if names is None else [str(n) for n in names]
        if len(self.names) != k:
            raise ValueError(f"SoftmaxExplorer: {len(self.names)} names for {k} logits")
        if not isinstance(temperature, int | float) or not 0.1 <= temperature <= 5:
            raise ValueError(
                f"SoftmaxExplorer: temperature must be from 0.1 to 5: temperature={temperature!r}"
            )
        self.temperature = float(temperature)

    def probabilities(self) -> np.ndarray:
        """Return softmax(logits / temperature), shape (K,)."""
        shifted = np.exp((self.logits - self.logits.max()) / self.temperature)
        return shifted / shifted.sum()

    def loss(self) -> float:
        """Return the cross-entropy -log p[label] in nats."""
        shifted = (self.logits - self.logits.max()) / self.temperature
        return math.log(np.exp(shifted).sum()) - float(shifted[self.label])

    def gradient(self) -> np.ndarray:
        """Return the derivative of the loss by the logits, (p - y) / temperature, shape (K,)."""
        return (self.probabilities() - np.eye(self.logits.size)[self.label]) / self.temperature

    def _spec(self) -> dict[str, Any]:
        return {
            "logits": plain(self.logits),
            "names": self.names,
            "label": self.label,
            "temperature": plain(self.temperature),
        }

    def _fallback(self) -> str:
        p, g = self.probabilities(), self.gradient()
        head = "".join(f"<th>{t}</th>" for t in ("class", "logit z", "probability p", "gradient"))
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{number(z, 4)}</td><td>{_four(a)}</td>"
            f"<td>{_four(b)}</td></tr>"
            for name, z, a, b in zip(self.names, self.logits, p, g, strict=True)
        )
        return (
            '<table class="dataframe" border="1"><caption>Softmax and its gradient</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
            + paragraph(
                f"Loss = \u2212ln p({self.names[self.label]}) = \u2212ln {_four(p[self.label])} = "
                f"{_four(self.loss())} nats"
            )
        )

    def __repr__(self) -> str:
        head = (
            f"SoftmaxExplorer(label={self.label}, names={self.names}, "
            f"temperature={self.temperature:g})\nloss {self.loss():.4f} nats"
        )
        return text_block(
            head,
            logits=self.logits,
            probabilities=self.probabilities(),
            gradient=self.gradient(),
        )
