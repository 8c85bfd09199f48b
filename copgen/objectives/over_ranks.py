"""The contrastive losses over the batches of several ranks, each of which computes the gradients of its own rows.

Forward: the unit rows are gathered, and every rank contrasts its own with all. Backward: log-sum-exp, upstream
gradient and 1 - P(positive) of every row are gathered, 12 bytes per row; with them a rank computes the complete
gradient of its own rows, as

    dh_i = 1/tau sum_j exp(h_i . h_j / tau) (g_i e^-lse_i + g_j e^-lse_j) h_j  - ...

covers row i both as an anchor and as a negative of all others. No gradients are communicated.

The objective is the sum of the ranks' losses, so that averaging over the ranks (DistributedDataParallel) gives the
gradient of the mean over all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from copgen.objectives.batch import InfoNCECall, Labelled, Pairs, split_temperature, temperature_of
from copgen.objectives.checks import FLOATING
from copgen.objectives.kernel_context import kernel_context
from copgen.objectives.kernel_interface import kernels_for
from copgen.objectives.operators.info_nce import gradients_of as gradients_of_pairs
from copgen.objectives.operators.info_nce import needed_for, unit_rows
from copgen.objectives.operators.sup_con import gradients_of as gradients_of_rows
from copgen.objectives.second_derivatives import refuse_graph_of_gradients
from copgen.runtime.errors import UsageError

# torch 2.14 renames it and deprecates the old name.
_all_gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
# What the ranks of a group were found to agree on.
_AGREED: WeakKeyDictionary[ProcessGroup, set[tuple[tuple[str, int], ...]]] = WeakKeyDictionary()


def info_nce(call: InfoNCECall, group: ProcessGroup) -> Tensor:
    """The loss of this rank's rows, () with `mean`, else (K,) or (2K,). All ranks must have checked the arguments."""
    return cast("Tensor", _InfoNCE.apply(*call, group))


def sup_con(
    h: Tensor, labels: Tensor, temperature: float | Tensor, *, normalized: bool, mean: bool, group: ProcessGroup
) -> Tensor:
    """The losses of this rank's rows (N,), or with `mean` a scalar whose mean over ranks is the mean over all rows."""
    losses, count_all = _SupCon.apply(h, labels, *split_temperature(temperature), normalized, group)
    if not mean:
        return cast("Tensor", losses)
    return cast("Tensor", losses.sum() * dist.get_world_size(group) / (count_all > 0).sum().clamp(min=1))


def check_together(check: Callable[[], None], h: Tensor, group: ProcessGroup, **same: int) -> None:
    """Run a rank's own check, and raise on all ranks if one of them fails or the batches differ.

    If only one rank raised, the others would wait forever for its rows. On CUDA a rank compares its batch only if the
    shape is new to it: reading the answer waits for the device. So what differs must do so in the first batch: when
    ranks part later, such as in a smaller last batch of one of them, the collectives no longer match, and wait for
    the timeout of the group.

    Args:
        check: raises UsageError if this rank's arguments are wrong.
        h: this rank's embeddings, of any shape.
        group: the ranks.
        same: further settings that must be equal on all ranks.
    """
    fault = None
    try:
        check()
    except UsageError as error:
        fault = error
    if h.is_cuda and torch.cuda.is_current_stream_capturing():
        if fault:
            raise fault
        return  # a CUDA graph replays what its warm-up has checked
    shape = [*h.shape, 0, 0][:2]
    facts = {"fault": int(fault is not None), "rows": shape[0], "D": shape[1], **same}
    facts["dtype"] = FLOATING.index(h.dtype) if h.dtype in FLOATING else -1
    agreed = _AGREED.setdefault(group, set())
    if h.is_cuda and tuple(facts.items()) in agreed:
        return
    faults, *columns = _compared([*facts.values()], h.device, group)
    if fault:
        raise fault
    if any(faults):
        raise UsageError(f"Rank {faults.index(1)} of the group rejected its batch.", fix="See the error of that rank.")
    for name, column in zip(list(facts)[1:], columns, strict=True):
        if len(set(column)) > 1:
            raise UsageError(
                f"{name} differs between the ranks' batches in h: {', '.join(map(str, column))}.",
                fix="Use the same batch size, dtype and settings on every rank (drop the last batch).",
            )
    agreed.add(tuple(facts.items()))


def _compared(facts: list[int], device: torch.device, group: ProcessGroup) -> list[list[int]]:
    """Each of these numbers on all ranks. Waits for the device."""
    mine = torch.tensor(facts, device=device)
    everyone = mine.new_empty(dist.get_world_size(group), len(facts))
    _all_gather(everyone, mine[None], group=group)
    columns: list[list[int]] = everyone.T.tolist()
    return columns


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        *arguments, group = inputs
        call = InfoNCECall(*arguments)
        kernels = kernels_for(call.h.device)
        with kernel_context(call.h.device):
            units, lengths = unit_rows(call.given, call.normalized)
            h_all, h_pos_all = (_gather(unit, group) for unit in units[:2])
            offset = dist.get_rank(group) * len(call.h)
            bounded = not call.normalized or kernels.bounded([h_all, h_pos_all, *units[2:]])
            pairs = Pairs(units, lengths, h_all, h_pos_all, offset, call.both, call.tau, bounded, call.h.dtype)
            loss, lse, lost = kernels.info_nce.forward(pairs, mean=call.mean)
        ctx.save_for_backward(lse, lost, call.learnt, h_all, h_pos_all, *units, *lengths)
        ctx.settings = offset, call.both, call.temperature, bounded, call.h.dtype, call.mean, group, len(units)
        return loss

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        refuse_graph_of_gradients()
        lse, lost, learnt, h_all, h_pos_all, *rows = ctx.saved_tensors
        offset, both, temperature, bounded, dtype, mean, group, tensors = ctx.settings
        tau = temperature_of(learnt, temperature)
        pairs = Pairs(rows[:tensors], rows[tensors:], h_all, h_pos_all, offset, both, tau, bounded, dtype)
        own = (lse, gradient.to(lse.dtype).expand(len(lse)), lost)
        rows_all = _gather_rows(own, 2 if both else 1, group)
        asked = ctx.needs_input_grad[:4]
        scale = 1.0 / len(lse) if mean else 1.0
        found = gradients_of_pairs(pairs, rows_all, learnt, scale=scale, needs=needed_for(asked))
        return (*(g if ask else None for g, ask in zip(found, asked, strict=True)), *[None] * 5)


class _SupCon(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, h: Tensor, labels: Tensor, learnt: Tensor | None, temperature: float, normalized: bool, group: Any
    ) -> tuple[Tensor, Tensor]:
        kernels = kernels_for(h.device)
        tau = temperature_of(learnt, temperature)
        with kernel_context(h.device):
            (z,), lengths = unit_rows([h], normalized)
            length = lengths[0] if lengths else None
            z_all, labels_all = _gather(z, group), _gather(labels.contiguous(), group)
            offset = dist.get_rank(group) * len(h)
            bounded = not normalized or kernels.bounded([z_all])
            batch = Labelled(z, length, labels, z_all, labels_all, offset, tau, bounded, h.dtype)
            losses, lse, lost, count = kernels.sup_con.forward(batch)
        count_all = _gather(count, group)
        ctx.save_for_backward(learnt, lse, lost, count_all, z, length, labels, z_all, labels_all)
        ctx.settings = offset, temperature, bounded, h.dtype, group
        ctx.mark_non_differentiable(count_all)
        return losses, count_all

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        refuse_graph_of_gradients()
        learnt, lse, lost, count_all, *rows = ctx.saved_tensors
        offset, temperature, bounded, dtype, group = ctx.settings
        z, length, labels, z_all, labels_all = rows
        tau = temperature_of(learnt, temperature)
        batch = Labelled(z, length, labels, z_all, labels_all, offset, tau, bounded, dtype)
        numbers = torch.stack((lse, lost, gradient)).T.contiguous()
        lse_all, lost_all, weight_all = (x.contiguous() for x in _gather(numbers, group).T.unbind())
        dh, dtau = gradients_of_rows(batch, (lse_all, lost_all, count_all, weight_all), learnt)
        asked = ctx.needs_input_grad
        return dh if asked[0] else None, None, dtau if asked[2] else None, None, None, None


def _gather(own: Tensor, group: ProcessGroup) -> Tensor:
    """(rows, ...) of every rank, in the order of the ranks."""
    everyone = own.new_empty(dist.get_world_size(group) * len(own), *own.shape[1:])
    _all_gather(everyone, own, group=group)
    return everyone


def _gather_rows(own: Sequence[Tensor], directions: int, group: ProcessGroup) -> list[Tensor]:
    """Gathers numbers of this rank's contrasted rows (directions * K,): all ranks' rows of h, then of h_pos."""
    own_KDN = torch.stack([x.view(directions, -1) for x in own]).permute(2, 1, 0).contiguous()
    return [x.T.reshape(-1).contiguous() for x in _gather(own_KDN, group).unbind(2)]  # kernels read by address
