"""An activation function, its tangent, and the slope that a gradient is multiplied by."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnlib.interactive._element import TIMES, Element, number, paragraph, table, text_block

# Each one: the value and the slope.
FUNCTIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "relu": (lambda x: max(x, 0.0), lambda x: float(x > 0)),
    "leaky relu": (lambda x: x if x > 0 else 0.1 * x, lambda x: 1.0 if x > 0 else 0.1),
    "sigmoid": (
        lambda x: 1 / (1 + math.exp(-x)),
        lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2,
    ),
    "tanh": (math.tanh, lambda x: 1 / math.cosh(x) ** 2),
}
REACH = 6.0
DEPTH = 5


class ActivationExplorer(Element):
    """Move along an activation function and see its tangent, its slope and where it is saturated.

    Saturated means here: the slope is below one tenth of the largest slope. The slope stands under
    the curve as a second one, and with it what five layers leave of a gradient of 1.

    Args:
        function: what is shown first: ``"relu"``, ``"leaky relu"`` (slope 0.1 when off),
            ``"sigmoid"`` or ``"tanh"``.
        x: where to start, from -6 to 6.

    Raises:
        ValueError: If there is no such function, or x lies outside.
    """

    script = "activation_explorer.js"
    title = "An activation function and its slope"

    def __init__(self, function: str = "sigmoid", *, x: float = 2.0):
        if function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise ValueError(f"ActivationExplorer: function must be one of {known}: {function!r}")
        if not isinstance(x, int | float | np.number) or not abs(float(x)) <= REACH:
            raise ValueError(f"ActivationExplorer: x must be a number from -6 to 6: x={x!r}")
        self.function, self.x = function, float(x)

    def _rows(self) -> dict[str, np.ndarray]:
        value, slope = FUNCTIONS[self.function]
        x = np.arange(-REACH, REACH + 1)
        return {
            "x": x,
            "value": np.array([value(v) for v in x]),
            "slope": np.array([slope(v) for v in x]),
        }

    def _spec(self) -> dict[str, Any]:
        return {"name": self.function, "x": self.x, "reach": REACH, "depth": DEPTH}

    def _fallback(self) -> str:
        value, slope = (f(self.x) for f in FUNCTIONS[self.function])
        rows = "".join(table(a, name) for name, a in self._rows().items())
        return rows + paragraph(
            f"{self.function}: f({number(self.x)}) = {number(value)}, slope {number(slope)}. "
            f"A gradient of 1 becomes 1 {TIMES} {number(slope)} = {number(slope)}; after {DEPTH} "
            f"layers with this slope {number(slope**DEPTH)} is left."
        )

    def __repr__(self) -> str:
        head = f'ActivationExplorer("{self.function}", x={self.x:g})'
        return text_block(head, **self._rows())
