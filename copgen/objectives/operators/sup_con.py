"""SupCon "out" as an operator, differentiable in the embeddings and the temperature.

The forward pass saves the unit rows, their lengths and three numbers per row (log-sum-exp, 1 - P(positives) and the
number of positives); the backward pass recomputes the logits tile by tile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from copgen.objectives.batch import Labelled, split_temperature, temperature_of
from copgen.objectives.kernel_context import kernel_context
from copgen.objectives.kernel_interface import kernels_for
from copgen.objectives.operators.info_nce import unit_rows
from copgen.objectives.operators.library import (
    differentiate,
    eager_twin,
    is_eager,
    nothing,
    refuse_second_gradient,
    register,
)
from copgen.objectives.temperature_gradient import gradient_of_temperature


class _Upstream(NamedTuple):
    """The arguments of the operator `copgen::sup_con_backward`."""

    gradient: Tensor
    unit: Tensor
    length: Tensor | None
    labels: Tensor
    learnt: Tensor | None
    temperature: float
    lse: Tensor
    lost: Tensor
    positives: Tensor
    dtype: torch.dtype


def sup_con(h: Tensor, labels: Tensor, temperature: float | Tensor, *, normalized: bool) -> tuple[Tensor, Tensor]:
    """The losses (N,) of checked arguments, 0 for rows without a positive; and the number of positives (N,)."""
    learnt, fixed = split_temperature(temperature)
    compute = _eager if is_eager(h, labels, learnt) else torch.ops.copgen.sup_con
    losses, count, *_ = compute(h, labels, learnt, fixed, normalized)
    return losses, count


def _forward(
    h: Tensor, labels: Tensor, learnt: Tensor | None, temperature: float, normalized: bool
) -> tuple[Tensor, ...]:
    kernels = kernels_for(h.device)
    with kernel_context(h.device):
        (unit,), lengths = unit_rows([h], normalized)
        length = lengths[0] if lengths else None
        bounded = not normalized or kernels.bounded([unit])
        tau = temperature_of(learnt, temperature)
        labels = labels.contiguous()
        batch = Labelled(unit, length, labels, unit, labels, 0, tau, bounded, h.dtype)
        losses, lse, lost, count = kernels.sup_con.forward(batch)
    kept = nothing(unit) if unit is h else unit  # an operator must not return its own inputs
    return losses, count, lse, lost, kept, nothing(lse) if length is None else length


def _backward(*inputs: Any) -> tuple[Tensor, Tensor]:
    up = _Upstream(*inputs)
    unit = up.unit.contiguous()
    bounded = up.length is not None or kernels_for(unit.device).bounded([unit])
    tau = temperature_of(up.learnt, up.temperature)
    labels = up.labels.contiguous()
    batch = Labelled(unit, up.length, labels, unit, labels, 0, tau, bounded, up.dtype)
    dh, dtau = gradients_of(batch, (up.lse, up.lost, up.positives, up.gradient.contiguous()), up.learnt)
    return dh, nothing(up.lse) if dtau is None else dtau


def gradients_of(batch: Labelled, rows_all: Sequence[Tensor], learnt: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The gradients of the embeddings and of the temperature, if it is learnt.

    Args:
        batch: the unit rows.
        rows_all: log-sum-exp, 1 - P(positives), number of positives and upstream gradient of the rows of all ranks.
        learnt: the temperature, if it is learnt.
    """
    device = batch.z.device
    with kernel_context(device):
        dh, radial = kernels_for(device).sup_con.backward(batch, *rows_all)
        if learnt is None:
            return dh, None
        return dh, gradient_of_temperature(radial, batch.temperature, learnt).to(learnt.dtype)


def _forward_shapes(
    h: Tensor, labels: Tensor, learnt: Tensor | None, temperature: float, normalized: bool
) -> tuple[Tensor, ...]:
    kernels = kernels_for(h.device)
    operand, accumulator = kernels.operand(h.dtype), kernels.accumulator(h.dtype)
    losses, lse, lost = (h.new_empty(h.shape[0], dtype=accumulator) for _ in range(3))
    same = normalized and operand == h.dtype and h.is_contiguous()
    unit = nothing(h) if same else h.new_empty(h.shape, dtype=operand)
    length = nothing(lse) if normalized else h.new_empty(h.shape[0], dtype=accumulator)
    return losses, h.new_empty(h.shape[0], dtype=torch.int64), lse, lost, unit, length


def _backward_shapes(*inputs: Any) -> tuple[Tensor, Tensor]:
    up = _Upstream(*inputs)
    dtau = nothing(up.lse) if up.learnt is None else torch.empty_like(up.learnt)
    return up.unit.new_empty(up.unit.shape, dtype=up.dtype), dtau


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    h, labels, learnt, temperature, normalized = inputs
    _, count, lse, lost, unit, length = output
    ctx.save_for_backward(
        h if unit.numel() == 0 else unit, None if normalized else length, labels, learnt, lse, lost, count
    )
    ctx.settings = temperature, h.dtype
    ctx.set_materialize_grads(False)


def _gradient(
    backward: Callable[..., Any], ctx: Any, gradient: Tensor | None, *unused: Any
) -> tuple[Tensor | None, ...]:
    if gradient is None:
        return (None,) * 5
    unit, length, labels, learnt, lse, lost, count = ctx.saved_tensors
    temperature, dtype = ctx.settings
    dh, dtau = backward(gradient, unit, length, labels, learnt, temperature, lse, lost, count, dtype)
    return dh, None, dtau if ctx.needs_input_grad[2] else None, None, None


register(
    "sup_con(Tensor h, Tensor labels, Tensor? learnt, float temperature, bool normalized)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _forward,
    _forward_shapes,
)
register(
    "sup_con_backward(Tensor gradient, Tensor unit, Tensor? length, Tensor labels, Tensor? learnt, float temperature,"
    " Tensor lse, Tensor lost, Tensor count, ScalarType dtype) -> (Tensor, Tensor)",
    _backward,
    _backward_shapes,
)
differentiate("sup_con", _save, functools.partial(_gradient, torch.ops.copgen.sup_con_backward))
refuse_second_gradient("sup_con_backward")
_eager = eager_twin(_forward, _save, _gradient, _backward, slice(2))
