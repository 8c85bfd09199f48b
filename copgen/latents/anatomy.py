"""What a navigator does to the prior: how far it moves, and how much of that is the same for all latents.

The displacement T_z(z) is split by least squares over draws of z into a shift shared by all, a part linear in z, and a
nonlinear rest. The shares are of E|T_z(z)|^2 and add up to 1. (The authors' navigator for BigBiGAN: 44 % shift, 41 %
linear, 15 % nonlinear.) Of a navigator with noise, T_z(z, e), the variance over e is a fourth share.

Legend: z (N, d) draws; T (N, d) = T_z(z); T' (N, d) with other noise; all in float64.
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
        noise: the share of E|T|^2 that is its variance for a given z.
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
    noise: float = 0.0


def anatomy(z: Tensor, T: Tensor, other: Tensor | None = None) -> Anatomy:
    """The statistics of the displacement T (N, d) of draws z (N, d), and of T' if it is random.

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
    noise = 0.0 if other is None else noise_share(T, other.double())
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
        nonlinear=nonlinear - noise,
        noise=noise,
    )


def shares(z: Tensor, T: Tensor) -> tuple[float, float, float]:
    """(constant, linear, nonlinear) shares of E|T|^2, the last with the noise if there is any; all 0 if T is 0."""
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


def noise_share(T: Tensor, other: Tensor) -> float:
    """The share of E|T|^2 that is its variance for a given z: E|T - T'|^2 / 2 of two independent draws; 0 if T is 0."""
    energy = T.square().sum(1).mean().item()
    return 0.5 * (T - other).square().sum(1).mean().item() / energy if energy else 0.0
