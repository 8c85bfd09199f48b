"""Feature transformation of negatives (Zhu et al. 2021, section 3.4): each is mixed with another one at random.

    n~_r = lambda_r n_r + (1 - lambda_r) n_perm(r),        lambda ~ Beta(alpha, alpha)

The mixed rows are shorter than 1, and are not normalised again (authors' code). lambda is one number per element (the
code's target "neg"), or one per update (its recipe for ImageNet). Both, and the permutation, are functions of
(seed, update, row), so that they do not depend on the ranks, or on where a run was resumed.

Legend: N rows, D dimension.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from copgen.runtime import philox

Mixing = Literal["element", "update"]
GRID = 4096


class Interpolation(nn.Module):
    """Mixes rows; counts the updates on the device, as part of a checkpoint.

    Args:
        alpha: of Beta(alpha, alpha), > 0; 1 is uniform.
        mixing: a lambda for each "element", or for each "update".
        seed: of the run.
    """

    update: Tensor

    def __init__(self, alpha: float, mixing: Mixing, *, seed: int) -> None:
        super().__init__()
        self.alpha, self.mixing, self.seed = alpha, mixing, seed
        self.register_buffer("update", torch.zeros((), dtype=torch.int64))

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed rows (N, D), differentiable in the rows, and the permutation (N,) int64."""
        N, D = rows.shape
        row = self.update * N + torch.arange(N, device=rows.device)
        words = philox.bits(self.seed, row, 2, stream="pretrain/negft/partner")
        partner = torch.argsort((words[:, 0] << 31) ^ words[:, 1], stable=True)
        if self.mixing == "element":
            u = philox.uniform(self.seed, row, D, stream="pretrain/negft/lambda")
        else:
            u = philox.uniform(self.seed, self.update[None], 1, stream="pretrain/negft/lambda")
        share = beta_quantile(u, self.alpha).to(rows.dtype)
        return torch.lerp(rows[partner], rows, share.expand_as(rows)), partner


def beta_quantile(u: Tensor, alpha: float) -> Tensor:
    """The inverse distribution function of Beta(alpha, alpha), in (0, 1); error below 1e-6 where alpha >= 1.

    It is u for alpha = 1, and for alpha = 2 the root of 3 x^2 - 2 x^3 = u. Otherwise, with x = sin^2(t), the density is
    sin^(2 alpha - 1) cos^(2 alpha - 1) in t, without a pole at x = 0 or 1 for alpha >= 1/2; it is summed over a grid in
    t, and its inverse is linear in between, which takes ten times as long.

    Args:
        u: probabilities, of any shape, float64.
        alpha: > 0.
    """
    if alpha == 1.0:
        return u
    if alpha == 2.0:
        return 0.5 - torch.sin(torch.asin(1.0 - 2.0 * u) / 3.0)
    width = 0.5 * math.pi / GRID
    middle = (torch.arange(GRID, dtype=torch.float64, device=u.device) + 0.5) * width
    below = (0.5 * torch.sin(2 * middle)).pow(2 * alpha - 1).cumsum(0)
    below = torch.cat((below.new_zeros(1), below / below[-1]))
    cell = torch.searchsorted(below, u.contiguous()).clamp(1, GRID)
    left, right = below[cell - 1], below[cell]
    t = (cell - 1 + (u - left) / (right - left)) * width
    return torch.sin(t).square()
