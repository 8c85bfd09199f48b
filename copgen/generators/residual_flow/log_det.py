"""log |det(I + J_g)| of a residual block x + g(x): exact, or by the unbiased power series (Chen et al. 2019, eq. 6, 8).

    log det(I + J) = sum_{k >= 1} (-1)^{k+1} / k  tr(J^k)

The trace is Hutchinson's (one probe e of random signs per item: e^T J^k e). The series is truncated at a random length
and its terms are reweighted by the inverse survival probability (Russian roulette), so it is unbiased. In training,
the gradient is the Neumann series of the same length, which needs one differentiable vector-Jacobian product.

Legend: N items, D coordinates of one item, J the Jacobian of g, e the probe.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SeriesLength:
    """A random number of terms: `exact` terms always, then `extra` ones, drawn from Poisson(`rate`)."""

    exact: int
    extra: int
    rate: float

    @property
    def terms(self) -> int:
        return self.exact + self.extra

    def weight(self, k: int) -> float:
        """1 / P(term k is computed): 1 for the exact terms, then the inverse of P(Poisson(rate) >= k - exact)."""
        if k <= self.exact:
            return 1.0
        below = sum(math.exp(-self.rate) * self.rate**n / math.factorial(n) for n in range(k - self.exact))
        return 1.0 / (1.0 - below)


def poisson_length(u: float, *, exact: int, rate: float) -> SeriesLength:
    """The length whose number of extra terms is the Poisson quantile of the uniform number u in (0, 1)."""
    extra, probability = 0, math.exp(-rate)
    cumulative = probability
    while u > cumulative and extra < 100:
        extra += 1
        probability *= rate / extra
        cumulative += probability
    return SeriesLength(exact=exact, extra=extra, rate=rate)


def exact_log_det(g: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """(g(x), log |det(I + J_g(x))|) by the whole Jacobian: D vector-Jacobian products, for tests and small D.

    Args:
        x: (N, ...) with D coordinates per item.

    Returns:
        g(x) in the shape of x, and (N,) in nats; both differentiable.
    """
    training = torch.is_grad_enabled()
    x = x if x.requires_grad else x.detach().requires_grad_()
    with torch.enable_grad():
        y = g(x)
        flat = y.flatten(1)
        rows = [
            torch.autograd.grad(flat[:, d].sum(), x, create_graph=training, retain_graph=True)[0].flatten(1)
            for d in range(flat.shape[1])
        ]
    jacobian = torch.stack(rows, dim=1)
    identity = torch.eye(flat.shape[1], dtype=x.dtype, device=x.device)
    return y if training else y.detach(), torch.linalg.slogdet(identity + jacobian).logabsdet


def series_log_det(
    g: Callable[[Tensor], Tensor], x: Tensor, probe: Tensor, length: SeriesLength
) -> tuple[Tensor, Tensor]:
    """(g(x), an unbiased estimate of log |det(I + J_g(x))|), differentiable through the Neumann series.

    Args:
        x: (N, ...).
        probe: e, with zero mean and unit covariance (random signs), in the shape of x.
        length: how many terms, and with which weights.

    Returns:
        g(x) in the shape of x, and (N,) in nats. The value is that of the power series; its gradient is that of
        sum_k (-1)^k w_k (J^T)^k e contracted with dJ e, which is unbiased for the gradient of the log-determinant.
    """
    training = torch.is_grad_enabled()
    x = x if x.requires_grad else x.detach().requires_grad_()
    with torch.enable_grad():
        y = g(x)
    value = torch.zeros(x.shape[0], dtype=x.dtype, device=x.device)
    neumann = torch.zeros_like(probe)
    product, sign = probe, 1.0
    for k in range(1, length.terms + 1):
        # product is (J^T)^(k-1) e here, and the Neumann series weights it with the weight of term k.
        neumann = neumann + sign * length.weight(k) * product
        product = torch.autograd.grad(y, x, product, retain_graph=True)[0]
        value = value + sign * length.weight(k) / k * (product * probe).flatten(1).sum(1)
        sign = -sign
    if not training:
        return y.detach(), value
    vjp = torch.autograd.grad(y, x, neumann, create_graph=True)[0]
    surrogate = (vjp * probe).flatten(1).sum(1)
    return y, surrogate + (value - surrogate).detach()
