"""Reference implementation of the contrastive losses, as in the papers, against which the fast paths are tested.

Plain PyTorch on any device and dtype, differentiable any number of times; memory is quadratic in the batch.

softplus(negatives - positive) equals -log softmax, but stays accurate when the positive dominates (small tau), where
two nearly equal logarithms would cancel.

Legend: K pairs, D embedding dimension, M further negatives, N labelled rows, tau temperature, R rows that are
contrasted, E embeddings that they are contrasted with.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.objectives.full_precision import full_precision


def info_nce(h: Tensor, h_pos: Tensor, negatives: Tensor | None, temperature: float | Tensor, *, both: bool) -> Tensor:
    """The losses in nats, (K,) or with `both` (2K,), of unit rows h, h_pos (K, D) with further negatives (M, D)."""
    rows = 2 * len(h) if both else len(h)
    pairs_2KD = torch.cat((h, h_pos))
    h_ED = pairs_2KD if negatives is None else torch.cat((pairs_2KD, negatives))
    own = torch.arange(rows, device=h.device)[:, None]
    partner = (own + len(h)) % len(pairs_2KD)
    logits_RE = _logits(pairs_2KD[:rows], h_ED, temperature)
    positive = logits_RE.gather(1, partner).squeeze(1)
    negatives_RE = logits_RE.scatter(1, own, -math.inf).scatter(1, partner, -math.inf)
    return _softplus(torch.logsumexp(negatives_RE, dim=1) - positive)


def sup_con(h: Tensor, labels: Tensor, temperature: float | Tensor) -> tuple[Tensor, Tensor]:
    """SupCon "out" (Khosla et al. 2020, equation 2) of unit rows h (N, D): losses in nats (N,), positives per row (N,).

    With P(i) the other rows of i's label, the loss is the mean over p in P(i) of -log softmax(logits without i)[p].
    It is computed as softplus(negatives - positives) + (positives - mean positive), both in log-sum-exp: a sum of
    non-negative terms, which for one positive is the form of info_nce. Rows without a positive: 0.
    """
    own_NN = torch.eye(len(h), dtype=torch.bool, device=h.device)
    positive_NN = (labels[:, None] == labels[None, :]) & ~own_NN
    count = positive_NN.sum(1)
    logits_NN = _logits(h, h, temperature)
    # Rows without a positive or without a negative would give -inf - -inf, so they are replaced before.
    lonely, only = count == 0, count == len(h) - 1
    positives = torch.logsumexp(logits_NN.masked_fill(~positive_NN & ~lonely[:, None], -math.inf), dim=1)
    negatives = torch.logsumexp(logits_NN.masked_fill((positive_NN | own_NN) & ~only[:, None], -math.inf), dim=1)
    mean_positive = logits_NN.masked_fill(~positive_NN, 0.0).sum(1) / count.clamp(min=1)
    spread = torch.where(count > 1, positives - mean_positive, 0.0)
    against = torch.where(only, 0.0, _softplus(negatives - positives))
    return torch.where(lonely, 0.0, against + spread), count


def normalize(h: Tensor) -> Tensor:
    """Rows of length 1, in float32 or float64; a zero row stays zero."""
    return F.normalize(_wide(h), dim=1)


def _logits(rows_RD: Tensor, h_ED: Tensor, temperature: float | Tensor) -> Tensor:
    with full_precision(h_ED.device):
        return _wide(rows_RD) @ _wide(h_ED).T / temperature


def _wide(h: Tensor) -> Tensor:
    return h.float() if h.dtype in (torch.float16, torch.bfloat16) else h


def _softplus(difference: Tensor) -> Tensor:
    # Above the threshold softplus is the identity; at 40 that is exact even in float64.
    return F.softplus(difference, threshold=40.0)
