"""The optimiser Muon: momentum whose step is made orthogonal, for the weights of convolutions."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def orthogonalise(matrix: torch.Tensor, steps: int = 3) -> torch.Tensor:
    """Bring all singular values of a wide matrix (m, n) near 1 and keep its singular vectors.

    A polynomial of degree five, applied to the singular values again and again, by products alone:
    X <- a X + b (X X^T) X + c (X X^T)^2 X.

    Source: K. Jordan and others, "Muon: An optimizer for hidden layers in neural networks", 2024.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T  # (m, m)
        x = a * x + (b * square + c * square @ square) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal; each weight keeps the norm sqrt(number of its rows).

    The norm can be fixed because batch normalisation follows: it takes out any scale.

    Args:
        parameters: Weights of convolutions (O, C, kH, kW), with O at most C kH kW.
        lr: Length of a step, as a share of the weight's.
        momentum: Share of the previous direction that stays.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], lr: float, momentum: float):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                buffer = self.state[p].setdefault("buffer", torch.zeros_like(p))
                buffer.mul_(group["momentum"]).add_(p.grad)
                ahead = p.grad.add(buffer, alpha=group["momentum"])
                step = orthogonalise(ahead.reshape(len(p), -1)).view_as(p)
                p.mul_(len(p) ** 0.5 / p.norm()).sub_(step, alpha=group["lr"])
