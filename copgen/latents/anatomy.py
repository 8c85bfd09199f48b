"""What a navigator does to the prior: how far it moves, and how much of that is the same for all latents.

The displacement T_z(z) is split by least squares over draws of z into a shift shared by all, a part linear in z, and a
nonlinear rest. The shares are of E|T_z(z)|^2 and add up to 1. (The authors' navigator for BigBiGAN: 44 % shift, 41 %
linear, 15 % nonlinear.)

Legend: z (N, d) draws; T (N, d) = T_z(z); all in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.latents.distance import displacement
from copgen.runtime.errors import UsageError

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Anatomy:
    """Statistics of a displacement T.

    Attributes:
        draws: N.
        mean, std: of T over all draws and coordinates.
        d_mean: mean of d(z, z'), the root-mean-square displacement per coordinate.
        d_quantiles: share -> d.
        cosine_mean, cosine_least: mean and smallest cosine of the angle between z and z'.
        constant, linear, nonlinear: shares of E|T|^2.
    """

    draws: int
    mean: float
    std: float
    d_mean: float
    d_quantiles: dict[float, float]
    cosine_mean: float
    cosine_least: float
    constant: float
    linear: float
    nonlinear: float


def anatomy(z: Tensor, T: Tensor) -> Anatomy:
    """The statistics of the displacement T (N, d) of draws z (N, d).

    Raises:
        UsageError: fewer than 2 (d + 1) draws; with too few, a linear fit explains any displacement.
    """
    z, T = z.double(), T.double()
    draws, dim = z.shape
    if draws < 2 * (dim + 1):
        raise UsageError(
            f"{draws:,} draws are too few to tell linear from nonlinear with {dim} coordinates.",
            fix=f"Use at least {2 * (dim + 1):,}.",
        )
    d = displacement(z, z + T)
    cosine = F.cosine_similarity(z, z + T)
    constant, linear, nonlinear = shares(z, T)
    return Anatomy(
        draws=draws,
        mean=T.mean().item(),
        std=T.std().item(),
        d_mean=d.mean().item(),
        d_quantiles=dict(zip(QUANTILES, d.quantile(torch.tensor(QUANTILES, dtype=d.dtype)).tolist(), strict=True)),
        cosine_mean=cosine.mean().item(),
        cosine_least=cosine.min().item(),
        constant=constant,
        linear=linear,
        nonlinear=nonlinear,
    )


def shares(z: Tensor, T: Tensor) -> tuple[float, float, float]:
    """(constant, linear, nonlinear) shares of E|T|^2; all 0 if T is 0."""
    draws, dim = z.shape
    energy = T.square().sum(1).mean().item()
    if energy == 0.0:
        return 0.0, 0.0, 0.0
    centred, shift = z - z.mean(0), T.mean(0)
    moved = T - shift
    coefficients = torch.linalg.lstsq(centred, moved).solution
    rest = (moved - centred @ coefficients).square().sum().item()
    # Unbiased: the fit has dim + 1 coefficients for each output.
    nonlinear = rest / (draws - dim - 1) / energy
    constant = shift.square().sum().item() / energy
    return constant, 1.0 - constant - nonlinear, nonlinear
