"""SupCon "out" (Khosla et al. 2020, equation 2): InfoNCE where all embeddings of a label are each other's positives.

With P(i) the other rows that have the label of row i:

    L_i = 1 / |P(i)|  sum_{p in P(i)}  -log  exp(h_i . h_p / tau) / sum_{j != i} exp(h_i . h_j / tau)

The labels 0 ... K-1, 0 ... K-1 on [h; h'] give InfoNCE with dual negatives and anchors="both".

Legend: N rows (all views of all images), D embedding dimension, tau temperature.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from copgen.objectives import over_ranks as ranks
from copgen.objectives import reference
from copgen.objectives.checks import check_device, check_embeddings, check_one_of, check_rows, check_temperature
from copgen.objectives.info_nce import Reduction
from copgen.objectives.kernel_interface import chosen
from copgen.objectives.operators import sup_con as operator
from copgen.runtime.errors import UsageError

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def sup_con(
    h: Tensor,
    labels: Tensor,
    *,
    temperature: float | Tensor,
    normalized: bool = False,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    """SupCon "out", in nats; differentiable once in the embeddings and in the temperature.

    Memory is linear in the batch on the CPU and on CUDA: no logit is stored. docs/contrastive.md has the algorithm.

    Args:
        h: embeddings (N, D), floating point, N >= 2. Half precision is summed and returned in float32.
        labels: (N,), integers of any value.
        temperature: tau > 0; no unit. Khosla et al. use 0.1. A tensor with one element is learnable; on CUDA its value
            is not checked, to avoid a synchronisation.
        normalized: the rows already have length 1 (not checked on CUDA); if False, they are divided by their length.
        reduction: "mean" over the rows that have a positive, or "none". `rows_without_positive` counts the others.
        group: the processes whose rows are contrasted with each other; gradients as for `info_nce`.

    Returns:
        A scalar, 0 if no row has a positive; or the losses (N,), 0 for rows without a positive. There is no constant
        factor, unlike in the published code (tau / 0.07). A non-finite embedding makes the loss NaN.

    Raises:
        UsageError: wrong or mismatched shapes, dtypes or devices, N < 2, labels of the wrong length or dtype, a
            temperature that is not positive and finite, an unknown `reduction`; in a group, on all ranks, batches that
            differ in size (on CUDA, if they do from the start).
    """
    mean = reduction == "mean"
    check = functools.partial(_check, h, labels, temperature, reduction, group)
    if group is not None:
        ranks.check_together(check, h, group, mean=mean)
        labels = labels.long().contiguous()  # kernels read by address
        return ranks.sup_con(h, labels, temperature, normalized=normalized, mean=mean, group=group)
    check()
    labels = labels.long().contiguous()
    if chosen(h) == "reference":
        losses, count = reference.sup_con(h if normalized else reference.normalize(h), labels, temperature)
    else:
        losses, count = operator.sup_con(h, labels, temperature, normalized=normalized)
    return losses.sum() / (count > 0).sum().clamp(min=1) if mean else losses


def rows_without_positive(labels: Tensor) -> Tensor:
    """How many labels of (N,) occur once, a scalar on their device: the rows excluded from the mean of `sup_con`."""
    in_order = labels.sort().values
    differs = in_order[1:] != in_order[:-1]
    edge = differs.new_ones(1)
    return (torch.cat((edge, differs)) & torch.cat((differs, edge))).sum()


def _check(h: Tensor, labels: Tensor, temperature: float | Tensor, reduction: str, group: ProcessGroup | None) -> None:
    check_embeddings("h", h)
    check_rows("h", h, group)
    if labels.shape != h.shape[:1]:
        raise UsageError(
            f"labels has shape {tuple(labels.shape)} and h {tuple(h.shape)}.",
            fix="Pass one label per row: (N,).",
        )
    if labels.dtype not in _INTEGERS:
        raise UsageError(f"labels is {labels.dtype}.", fix="Expected an integer dtype.")
    check_device("labels", labels, "h", h)
    check_temperature(temperature, "h", h)
    check_one_of("reduction", reduction, ("mean", "none"))
