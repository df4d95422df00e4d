"""LearningRateExplorer: gradient descent on small loss surfaces, step by step."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnlib.interactive._element import Element, array, paragraph, plain, table, text_block, whole


class Surface(NamedTuple):
    """A loss, its gradient (both take the array of parameters) and where to begin."""

    formula: str
    loss: Callable[[np.ndarray], float]
    gradient: Callable[[np.ndarray], np.ndarray]
    start: tuple[float, ...]
    lr: float


SURFACES: dict[str, Surface] = {
    "quadratic": Surface(
        "L(w) = w\u00b2", lambda w: float(w[0] * w[0]), lambda w: 2 * w, (2.5,), 0.1
    ),
    "two wells": Surface(
        "L(w) = (w\u00b2 \u2212 1)\u00b2 + 0.3w + 0.31",
        lambda w: float((w[0] * w[0] - 1) * (w[0] * w[0] - 1) + 0.3 * w[0] + 0.31),
        lambda w: 4 * w * (w * w - 1) + 0.3,
        (1.7,),
        0.02,
    ),
    "bowl": Surface(
        "L(u, v) = (u\u00b2 + 10v\u00b2) / 2",
        lambda w: float((w[0] * w[0] + 10 * w[1] * w[1]) / 2),
        lambda w: np.array([w[0], 10 * w[1]]),
        (-4.5, 1.8),
        0.15,
    ),
}


class Run(NamedTuple):
    """The path (steps + 1, parameters), the loss at each point, and the verdict in words."""

    path: np.ndarray
    loss: np.ndarray
    verdict: str


def _verdict(loss: np.ndarray, first: np.ndarray, last: np.ndarray, moves: np.ndarray) -> str:
    if not loss[-1] <= loss[0] * 1.000001 + 1e-9:
        return "diverges"
    sizes = np.sqrt((moves**2).sum(axis=1))
    moves = moves[sizes > 1e-6 * sizes.max(initial=0.0)]
    turns = int((np.sum(moves[1:] * moves[:-1], axis=1) < 0).sum())
    settled = math.hypot(*last) <= 0.01 * max(1.0, math.hypot(*first))
    if turns > 2:
        return "oscillates, then settles" if settled else "oscillates, not settled"
    return "converges" if settled else "still on its way"


class LearningRateExplorer(Element):
    r"""Choose a learning rate and a momentum, and watch gradient descent walk.

    The update is torch's SGD: :math:`v \leftarrow \mu v + g`, :math:`w \leftarrow w - \eta v`.

    Args:
        surface: The loss shown first: "quadratic", "two wells" or "bowl" (two parameters).
        lr: Learning rate, 0 to 1.2; a gentle one for the surface if None.
        momentum: Momentum, 0 to 0.95.
        steps: Number of steps, 1 to 200.
        start: First parameters, each from -100 to 100; the surface's own if None.

    Raises:
        ValueError: If an argument is outside these limits.

    Source: Polyak 1964 (momentum); torch.optim.SGD (the form of the update).
    """

    script = "learning_rate_explorer.js"
    title = "Learning rate and momentum"

    def __init__(
        self,
        surface: str = "quadratic",
        *,
        lr: float | None = None,
        momentum: float = 0.0,
        steps: int = 30,
        start: float | Sequence[float] | None = None,
    ) -> None:
        who = "LearningRateExplorer"
        if surface not in SURFACES:
            names = ", ".join(map(repr, SURFACES))
            raise ValueError(f"{who}: surface must be one of {names}: surface={surface!r}")
        self.surface, default = surface, SURFACES[surface]
        self.lr = default.lr if lr is None else self._within("lr", lr, 1.2)
        self.momentum = self._within("momentum", momentum, 0.95)
        self.steps = whole(who, "steps", steps, 1, 200)
        first = default.start if start is None else start
        if isinstance(first, int | float):
            first = (first,)
        self.start = array(who, "start", first, 1)
        if self.start.size != len(default.start) or np.abs(self.start).max() > 100:
            raise ValueError(
                f"{who}: start must be {len(default.start)} number(s) from -100 to 100 for "
                f"{surface!r}: start={start!r}"
            )

    @staticmethod
    def _within(name: str, value: Any, high: float) -> float:
        if not isinstance(value, int | float) or not 0 <= value <= high:
            raise ValueError(
                f"LearningRateExplorer: {name} must be a number from 0 to {high}: {name}={value!r}"
            )
        return float(value)

    def run(self) -> Run:
        """Descend with the chosen settings; the loop that the script repeats."""
        s = SURFACES[self.surface]
        w, velocity = self.start.copy(), np.zeros_like(self.start)
        path, moves = [w], []
        # A diverging run may overflow to infinity: that is what it shows.
        with np.errstate(over="ignore", invalid="ignore"):
            first = s.gradient(w)
            for _ in range(self.steps):
                velocity = self.momentum * velocity + s.gradient(w)
                w = w - self.lr * velocity
                path.append(w)
                moves.append(velocity)
            loss = np.array([s.loss(p) for p in path])
            verdict = _verdict(loss, first, s.gradient(w), np.array(moves))
        return Run(np.array(path), loss, verdict)

    def _spec(self) -> dict[str, Any]:
        defaults = {k: {"lr": s.lr, "start": plain(s.start)} for k, s in SURFACES.items()}
        return {
            "surface": self.surface,
            "lr": plain(self.lr),
            "momentum": plain(self.momentum),
            "steps": self.steps,
            "start": plain(self.start),
            "defaults": defaults,
        }

    def _summary(self) -> str:
        r = self.run()
        return f"{r.verdict}: loss {r.loss[0]:.4g} to {r.loss[-1]:.4g} after {self.steps} steps"

    def _fallback(self) -> str:
        r = self.run()
        shown = min(self.steps, 8) + 1
        names = "w" if r.path.shape[1] == 1 else "u, v"
        rows = np.column_stack([np.arange(shown), r.path[:shown], r.loss[:shown]])
        return paragraph(
            f"Gradient descent on {SURFACES[self.surface].formula}, learning rate "
            f"{self.lr:g}, momentum {self.momentum:g}. The run {self._summary()}."
        ) + table(rows, f"step, {names}, loss")

    def __repr__(self) -> str:
        r = self.run()
        head = (
            f"LearningRateExplorer({self.surface!r}, lr={self.lr:g}, momentum={self.momentum:g}, "
            f"steps={self.steps})\n{self._summary()}"
        )
        return text_block(head, first_parameters=r.path[:6], first_losses=r.loss[:6])
