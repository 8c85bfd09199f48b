"""d(z, z'): how far a transform moves a latent, as root-mean-square displacement per coordinate.

It is directly comparable to the standard deviation of a Gaussian transform and to the authors' published curve.
"""

from __future__ import annotations

from torch import Tensor

from copgen.latents.operations import constrain


def displacement(z: Tensor, z_pos: Tensor) -> Tensor:
    """d_k = ||z'_k - z_k||_2 / sqrt(dim z) for z, z' (K, dim): (K,), differentiable where z' differs from z."""
    return constrain(z, z_pos).d
