"""InfoNCE with dual negatives: the loss L of Algorithm 1 (COP-Gen, appendix A).

An anchor's embedding h_k has to find its positive h'_k among the other anchors h_j and all positives h'_j:

    L_k = -log  exp(h_k . h'_k / tau) / ( sum_{j != k} exp(h_k . h_j / tau) + sum_j exp(h_k . h'_j / tau) )

The authors' code contrasts the positives in the same way and averages over both (SimCLR's NT-Xent): anchors="both".

Legend: K batch size, D embedding dimension, h (K, D) anchors, h' = h_pos (K, D) positives, tau temperature,
R rows that are contrasted (K or 2K), E = 2K embeddings that they are contrasted with.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.runtime.errors import UsageError, unknown

Anchors = Literal["first", "both"]
Reduction = Literal["mean", "none"]


def info_nce(
    h: Tensor,
    h_pos: Tensor,
    *,
    temperature: float,
    anchors: Anchors = "first",
    normalized: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """InfoNCE with dual negatives, in nats; differentiable in both embeddings.

    Args:
        h: anchors' embeddings (K, D), floating, K >= 2. Half precision is computed and returned in float32.
        h_pos: positives' embeddings (K, D), same dtype and device.
        temperature: tau > 0; no unit. The authors' code uses 0.1, the paper's MNIST experiments 0.5 (appendix D).
        anchors: "first" contrasts h only (Algorithm 1, K losses); "both" contrasts h and h_pos (the authors' code, 2K
            losses).
        normalized: the rows already have length 1; otherwise they are divided by their length here.
        reduction: "mean" over the losses, or "none".

    Returns:
        A scalar, or the losses in the order of the rows: (K,) or, with anchors="both", (2K,), h before h_pos.
        Chance is `chance_level(K)`. There is no constant factor, unlike in the authors' code (tau / 0.07).

    Raises:
        UsageError: shapes, dtypes or devices that differ or do not fit, K < 2, a temperature that is not positive and
            finite, an unknown `anchors` or `reduction`.
    """
    _check(h, h_pos, temperature, anchors, reduction)
    if h.dtype in (torch.float16, torch.bfloat16):
        h, h_pos = h.float(), h_pos.float()
    if not normalized:
        h, h_pos = F.normalize(h, dim=1), F.normalize(h_pos, dim=1)
    losses = _reference(h, h_pos, temperature, rows=h.shape[0] if anchors == "first" else 2 * h.shape[0])
    return losses.mean() if reduction == "mean" else losses


def chance_level(batch_size: int) -> float:
    """The loss in nats when all embeddings are alike: ln(2K - 1), for either choice of anchors."""
    return math.log(2 * batch_size - 1)


def _reference(h: Tensor, h_pos: Tensor, temperature: float, *, rows: int) -> Tensor:
    """The losses (R,) of the first `rows` of [h; h_pos], with the whole logits (R, E) in memory.

    softplus(negatives - positive) is the same as -log softmax, and keeps its precision when the positive wins by far
    (small tau), where the difference of two nearly equal logarithms would lose it.
    """
    h_ED = torch.cat((h, h_pos))
    own = torch.arange(rows, device=h.device)[:, None]
    partner = (own + h.shape[0]) % h_ED.shape[0]
    with torch.autocast(h.device.type, enabled=False):  # logits reach 1 / tau: half precision would round them
        logits_RE = h_ED[:rows] @ h_ED.T / temperature
    positive = logits_RE.gather(1, partner).squeeze(1)
    negatives_RE = logits_RE.scatter(1, own, -math.inf).scatter(1, partner, -math.inf)
    # Beyond the threshold softplus is the identity; at 40 that is exact in float64 too.
    return F.softplus(torch.logsumexp(negatives_RE, dim=1) - positive, threshold=40.0)


def _check(h: Tensor, h_pos: Tensor, temperature: float, anchors: str, reduction: str) -> None:
    if h.dim() != 2 or h.shape != h_pos.shape:
        raise UsageError(
            f"h has shape {tuple(h.shape)} and h_pos {tuple(h_pos.shape)}.", fix="Both are (K, D), row k a pair."
        )
    if h.shape[0] < 2:
        raise UsageError(f"The batch has K = {h.shape[0]} pairs.", fix="Negatives need at least 2.")
    if not h.is_floating_point() or h.dtype != h_pos.dtype:
        raise UsageError(f"h is {h.dtype} and h_pos {h_pos.dtype}.", fix="Both need the same floating dtype.")
    if h.device != h_pos.device:
        raise UsageError(f"h is on {h.device} and h_pos on {h_pos.device}.", fix="Put them on the same device.")
    if not (math.isfinite(temperature) and temperature > 0):
        raise UsageError(f"temperature is {temperature}.", fix="It must be positive and finite.")
    if anchors not in ("first", "both"):
        raise unknown("choice of anchors", anchors, ("first", "both"))
    if reduction not in ("mean", "none"):
        raise unknown("reduction", reduction, ("mean", "none"))
