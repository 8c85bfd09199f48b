"""InfoNCE with dual negatives: the loss L of Algorithm 1 (COP-Gen, appendix A).

An anchor's embedding h_k has to identify its positive h'_k among the other anchors h_j and all positives h'_j:

    L_k = -log  exp(h_k . h'_k / tau) / ( sum_{j != k} exp(h_k . h_j / tau) + sum_j exp(h_k . h'_j / tau) )

The authors' code contrasts the positives in the same way and averages over both (SimCLR's NT-Xent): anchors="both".

Legend: K batch size, D embedding dimension, h (K, D) anchors, h' = h_pos (K, D) positives, tau temperature,
M further negatives, R rows that are contrasted (K or 2K).
"""

from __future__ import annotations

import functools
import math
from typing import Literal

from torch import Tensor
from torch.distributed import ProcessGroup

from copgen.objectives import over_ranks as ranks
from copgen.objectives import reference
from copgen.objectives.batch import InfoNCECall, split_temperature
from copgen.objectives.checks import check_alike, check_embeddings, check_one_of, check_rows, check_temperature
from copgen.objectives.kernel_interface import chosen
from copgen.objectives.operators import info_nce as operator
from copgen.runtime.errors import UsageError

Anchors = Literal["first", "both"]
Reduction = Literal["mean", "none"]


def info_nce(
    h: Tensor,
    h_pos: Tensor,
    *,
    temperature: float | Tensor,
    anchors: Anchors = "first",
    normalized: bool = False,
    reduction: Reduction = "mean",
    negatives: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    """InfoNCE with dual negatives, in nats; differentiable once in the embeddings and in the temperature.

    Memory is linear in the batch on the CPU and on CUDA: no logit is stored. docs/contrastive.md has the algorithm.

    Args:
        h: anchors' embeddings (K, D), floating point, K >= 2. Half precision is summed and returned in float32.
        h_pos: positives' embeddings (K, D), same dtype and device.
        temperature: tau > 0; no unit. The authors' code uses 0.1, the paper's MNIST experiments 0.5 (appendix D). A
            tensor with one element is learnable; on CUDA its value is not checked, to avoid a synchronisation.
        anchors: "first" contrasts h only (Algorithm 1, K losses); "both" contrasts h and h_pos (the authors' code, 2K
            losses).
        normalized: the rows already have length 1 (not checked on CUDA); if False, they are divided by their length.
        reduction: "mean" over the losses, or "none".
        negatives: further negatives (M, D) of every contrasted row, such as a queue.
        group: the processes whose batches are contrasted with each other; None contrasts this batch alone. Every rank
            gets the loss of its own rows against the rows of all, and the number of ranks times its part of the
            gradient of the mean over all, so that averaging over the ranks, as DistributedDataParallel does, gives the
            gradient of one process with the global batch. `negatives` are not gathered.

    Returns:
        A scalar, or the losses in the order of the rows: (K,) or, with anchors="both", (2K,), h before h_pos.
        Chance is `chance_level(K)`. There is no constant factor, unlike in the authors' code (tau / 0.07). A non-finite
        embedding makes the loss NaN.

    Raises:
        UsageError: wrong or mismatched shapes, dtypes or devices, K < 2, a temperature that is not positive and finite,
            an unknown `anchors` or `reduction`; in a group, on all ranks, batches that differ in size (on CUDA, if they
            do from the start).
    """
    both, mean = anchors == "both", reduction == "mean"
    check = functools.partial(_check, h, h_pos, temperature, anchors, reduction, negatives, group)
    if group is not None:
        ranks.check_together(check, h, group, both=both, mean=mean)
    else:
        check()
    if chosen(h) != "reference":
        call = InfoNCECall(h, h_pos, negatives, *split_temperature(temperature), both, normalized, mean)
        return operator.info_nce(call) if group is None else ranks.info_nce(call, group)
    if not normalized:
        h, h_pos = reference.normalize(h), reference.normalize(h_pos)
        negatives = None if negatives is None else reference.normalize(negatives)
    losses = reference.info_nce(h, h_pos, negatives, temperature, both=both)
    return losses.mean() if mean else losses


def chance_level(batch_size: int, negatives: int = 0) -> float:
    """The loss in nats when all embeddings are alike: ln(2K - 1 + M), for either choice of anchors."""
    return math.log(2 * batch_size - 1 + negatives)


def _check(
    h: Tensor,
    h_pos: Tensor,
    temperature: float | Tensor,
    anchors: str,
    reduction: str,
    negatives: Tensor | None,
    group: ProcessGroup | None,
) -> None:
    check_embeddings("h", h)
    check_embeddings("h_pos", h_pos)
    if h.shape != h_pos.shape:
        raise UsageError(
            f"h has shape {tuple(h.shape)} and h_pos {tuple(h_pos.shape)}.", fix="Expected (K, D); row k is a pair."
        )
    check_alike("h_pos", h_pos, "h", h)
    check_rows("h", h, group)
    if negatives is not None:
        check_embeddings("negatives", negatives)
        check_alike("negatives", negatives, "h", h)
        if negatives.shape[1] != h.shape[1] or len(negatives) == 0:
            raise UsageError(
                f"negatives has shape {tuple(negatives.shape)} and h {tuple(h.shape)}.",
                fix="Expected (M, D) with M > 0, or None.",
            )
    check_temperature(temperature, "h", h)
    check_one_of("choice of anchors", anchors, ("first", "both"))
    check_one_of("reduction", reduction, ("mean", "none"))
