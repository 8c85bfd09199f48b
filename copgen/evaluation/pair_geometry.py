"""How an encoder arranges pairs of images: alignment, uniformity, effective rank, and the InfoNCE loss.

The loss is reported as a share of its chance level, ln(2K - 1), and not as a bound on a mutual information: the bound
is at most ln K, and how good an encoder is does not follow from it (Tschannen et al. 2020).

Legend: N pairs, D dimension, K batch size of the loss, tau temperature.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from copgen.evaluation.geometry import alignment, rank_me, uniformity
from copgen.objectives import chance_level, info_nce


@dataclass(frozen=True)
class PairGeometry:
    """What embeddings of pairs look like.

    Attributes:
        dim: D.
        alignment: mean squared distance of positives on the sphere, 0 to 4.
        uniformity: log of the mean Gaussian potential of the anchors, -8 to 0.
        rank_me: effective rank of the anchors, 1 to D.
        info_nce: mean loss over batches of K pairs, both images contrasted, nats.
        chance: the loss if all embeddings were alike, nats.
        share_of_chance: their ratio; 1 is chance, 0 a positive that nothing is confused with.
    """

    dim: int
    alignment: float
    uniformity: float
    rank_me: float
    info_nce: float
    chance: float
    share_of_chance: float


def pair_geometry(h: Tensor, h_pos: Tensor, *, batch: int, temperature: float) -> PairGeometry:
    """Measure embeddings; in float64 on the CPU.

    Args:
        h, h_pos: (N, D), not normalised; row k of both is a pair.
        batch: K, a divisor of N; consecutive rows are contrasted.
        temperature: tau.
    """
    h, h_pos = h.double().cpu(), h_pos.double().cpu()
    losses = [
        float(info_nce(some, others, temperature=temperature, anchors="both"))
        for some, others in zip(torch.split(h, batch), torch.split(h_pos, batch), strict=True)
    ]
    loss, chance = sum(losses) / len(losses), chance_level(batch)
    return PairGeometry(
        dim=h.shape[1],
        alignment=alignment(h, h_pos),
        uniformity=uniformity(h),
        rank_me=rank_me(h),
        info_nce=loss,
        chance=chance,
        share_of_chance=loss / chance,
    )
