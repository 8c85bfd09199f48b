"""A centred navigator outside of training: its mean displacement over the prior becomes a constant.

In training the mean over the batch is subtracted; a row must not depend on its batch, so everything else subtracts the
mean over draws of the prior, by way of the output bias.
"""

from __future__ import annotations

import copy

import torch

from copgen.latents.navigator import CALIBRATION_DRAWS, Navigator
from copgen.latents.prior import Prior


@torch.no_grad()
def for_sampling(navigator: Navigator, *, prior: Prior, seed: int) -> Navigator:
    """The navigator to move single latents with: itself, or of a centred one a copy in evaluation mode.

    Args:
        navigator: in training mode.
        prior: the distribution of z.
        seed: of the 8,192 draws whose mean displacement is subtracted; what is left of it is 1/8,192 of the variance.
    """
    if not navigator.centred:
        return navigator
    held = copy.deepcopy(navigator).eval().requires_grad_(False)
    bias, rows = held.last.bias, range(CALIBRATION_DRAWS)
    z = prior.draw(rows, dim=held.latent_dim, seed=seed, device=bias.device).to(bias.dtype)
    bias.sub_(held.displace(z, seed=seed, rows=rows).mean(0).index_select(0, held.coordinates))
    return held
