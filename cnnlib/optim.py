"""Optimisers: they move every parameter a little against its gradient, with torch's formulas."""

from collections.abc import Iterable
from typing import Any

from cnnlib._array import namespace
from cnnlib.layers import Parameter


class Optimizer:
    """What all optimisers share; :meth:`step` calls ``_update`` for each parameter with a gradient.

    Parameters change in place, gradients are only read. State is kept in the parameters' own
    library: move a network to another one first, make its optimiser afterwards.
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float, *, weight_decay: float):
        name = type(self).__name__
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError(f"{name}: there is no parameter to optimise")
        for parameter in self.parameters:
            if not isinstance(parameter, Parameter):
                raise TypeError(f"{name}: expected Parameters, got a {type(parameter).__name__}")
        for option, value in (("lr", lr), ("weight_decay", weight_decay)):
            if not value >= 0:
                raise ValueError(f"{name}: {option} must be at least 0, got {value}")
        self.lr = lr
        self.weight_decay = weight_decay
        self._state: list[dict[str, Any]] = [{} for _ in self.parameters]

    def step(self) -> None:
        """Move every parameter once; those without a gradient stay where they are."""
        for parameter, state in zip(self.parameters, self._state, strict=True):
            if parameter.grad is None:
                continue
            gradient = parameter.grad
            if self.weight_decay:
                gradient = gradient + float(self.weight_decay) * parameter.data
            parameter.data -= self._update(gradient, state)

    def zero_grad(self) -> None:
        """Forget all gradients, before the next batch adds its own."""
        for parameter in self.parameters:
            parameter.grad = None

    def _update(self, gradient, state: dict[str, Any]):
        raise NotImplementedError


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum if wanted.

    .. math::
        g &\leftarrow \nabla L(w) + \lambda w \\
        v &\leftarrow \mu v + g \\
        w &\leftarrow w - \eta v \quad\text{(Nesterov: } w - \eta (g + \mu v)\text{)}

    The first step has :math:`v = g`. The rate :math:`\eta` multiplies the velocity, as in torch;
    in some papers it stands inside it, which differs once the rate changes.

    Args:
        parameters: What to optimise, usually ``net.parameters()``.
        lr: Learning rate :math:`\eta`; assign ``optimizer.lr`` to change it.
        momentum: :math:`\mu`, share of the velocity that survives a step.
        weight_decay: :math:`\lambda`, pull towards zero (L2).
        nesterov: Look ahead by one step of momentum.

    Raises:
        ValueError: If a value is negative, nesterov comes without momentum, or nothing is given.

    Source: Polyak (1964); Nesterov (1983); Sutskever et al. (2013), equations 1-4, with torch's
    placing of the learning rate.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        super().__init__(parameters, lr, weight_decay=weight_decay)
        if not momentum >= 0:
            raise ValueError(f"SGD: momentum must be at least 0, got {momentum}")
        if nesterov and momentum == 0:
            raise ValueError("SGD: nesterov looks ahead along the momentum, which is 0")
        self.momentum = momentum
        self.nesterov = nesterov

    def _update(self, gradient, state):
        # float(): a NumPy scalar as learning rate would turn float32 into float64.
        lr, momentum = float(self.lr), float(self.momentum)
        if not momentum:
            return lr * gradient
        velocity = momentum * state["velocity"] + gradient if state else 1.0 * gradient
        state["velocity"] = velocity
        return lr * (gradient + momentum * velocity) if self.nesterov else lr * velocity


class Adam(Optimizer):
    r"""Adam: every weight gets its own step, about the learning rate long.

    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        w &\leftarrow w - \eta \, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    m and v start at 0 and are too small at first; the two divisions mend that.

    Args:
        parameters: What to optimise, usually ``net.parameters()``.
        lr: Learning rate :math:`\eta`; assign ``optimizer.lr`` to change it.
        betas: :math:`(\beta_1, \beta_2)`, memory of the mean and of the mean square.
        eps: :math:`\epsilon`, against division by 0.
        weight_decay: Added to the gradient as :math:`\lambda w` (L2, not AdamW).

    Raises:
        ValueError: If a value is out of range or nothing is given.

    Source: Kingma & Ba (2015), algorithm 1.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, lr, weight_decay=weight_decay)
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Adam: betas must be two numbers in [0, 1), got {betas}")
        if not eps >= 0:
            raise ValueError(f"Adam: eps must be at least 0, got {eps}")
        self.betas = betas
        self.eps = eps

    def _update(self, gradient, state):
        xp = namespace("Adam", gradient=gradient)
        beta1, beta2 = (float(beta) for beta in self.betas)
        if not state:
            state.update(t=0, m=0.0 * gradient, v=0.0 * gradient)
        state["t"] += 1
        state["m"] = beta1 * state["m"] + (1 - beta1) * gradient
        state["v"] = beta2 * state["v"] + (1 - beta2) * gradient * gradient
        mean = state["m"] / (1 - beta1 ** state["t"])
        mean_square = state["v"] / (1 - beta2 ** state["t"])
        return float(self.lr) * mean / (xp.sqrt(mean_square) + float(self.eps))
