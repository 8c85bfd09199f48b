"""InfoNCE with dual negatives as an operator, differentiable in the embeddings, further negatives and the temperature.

The forward pass saves the unit rows, their lengths and two numbers per contrasted row (log-sum-exp and
1 - P(positive)); the backward pass recomputes the logits tile by tile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from copgen.objectives import blocked
from copgen.objectives.batch import InfoNCECall, Pairs, temperature_of
from copgen.objectives.blocked import one_pass, one_tile
from copgen.objectives.kernel_context import kernel_context
from copgen.objectives.kernel_interface import kernels_for
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
    """The arguments of the operator `copgen::info_nce_backward`."""

    gradient: Tensor
    units: Sequence[Tensor]
    lengths: Sequence[Tensor]
    learnt: Tensor | None
    temperature: float
    lse: Tensor
    lost: Tensor
    both: bool
    normalized: bool
    dtype: torch.dtype
    needs: Sequence[bool]


def info_nce(call: InfoNCECall) -> Tensor:
    """The loss of checked arguments: () with `mean`, else (K,) or, with `both`, (2K,)."""
    compute: Callable[..., Sequence[Tensor]] = torch.ops.copgen.info_nce
    if is_eager(call.h, call.h_pos, call.negatives, call.learnt):
        compute = _eager
        if kernels_for(call.h.device) is blocked:
            if one_tile.fits(call):
                compute = one_tile.OneTile.apply
            elif one_pass.fits(call):
                compute = one_pass.OnePass.apply
    return compute(*call)[0]


def _forward(*inputs: Any) -> tuple[Tensor, ...]:
    call = InfoNCECall(*inputs)
    kernels = kernels_for(call.h.device)
    with kernel_context(call.h.device):
        units, lengths = unit_rows(call.given, call.normalized)
        bounded = not call.normalized or kernels.bounded(units)
        pairs = Pairs(units, lengths, units[0], units[1], 0, call.both, call.tau, bounded, call.h.dtype)
        loss, lse, lost = kernels.info_nce.forward(pairs, mean=call.mean)
    # An operator must not return its own inputs.
    kept = [nothing(unit) if unit is x else unit for unit, x in zip(units, call.given, strict=True)]
    return loss, lse, lost, *_padded(kept, call.h), *_padded(lengths, lse)


def _padded(given: list[Tensor], like: Tensor) -> list[Tensor]:
    """Three tensors, of which those that are not given are empty."""
    return given + [nothing(like) for _ in range(3 - len(given))]


def unit_rows(given: Sequence[Tensor], normalized: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Unit rows in the dtype of the kernels, and their original lengths unless they are `normalized`."""
    kernels = kernels_for(given[0].device)
    operand = kernels.operand(given[0].dtype)
    if normalized:
        return [x.to(operand).contiguous() for x in given], []
    return kernels.normalize(given, operand)


def _backward(*inputs: Any) -> tuple[Tensor, ...]:
    up = _Upstream(*inputs)
    units = [unit.contiguous() for unit in up.units]
    bounded = not up.normalized or kernels_for(up.lse.device).bounded(units)
    tau = temperature_of(up.learnt, up.temperature)
    pairs = Pairs(units, up.lengths, units[0], units[1], 0, up.both, tau, bounded, up.dtype)
    scale = 1.0 if up.gradient.dim() else 1.0 / len(up.lse)
    rows = (up.lse, up.gradient.contiguous(), up.lost)
    found = gradients_of(pairs, rows, up.learnt, scale=scale, needs=up.needs)
    likes = (units[0], units[0], units[0], up.lse)
    return tuple(nothing(like) if g is None else g for g, like in zip(found, likes, strict=True))


def gradients_of(
    pairs: Pairs, rows_all: Sequence[Tensor], learnt: Tensor | None, *, scale: float, needs: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients of h, h_pos, negatives and the temperature, None where not needed.

    Args:
        pairs: the unit rows.
        rows_all: log-sum-exp, upstream gradient and 1 - P(positive) of the contrasted rows of all ranks.
        learnt: the temperature, if it is learnt.
        scale: a factor of all gradients.
        needs: which of the four are needed; the temperature's follows from those of all embeddings.
    """
    device = pairs.h_all.device
    with kernel_context(device):
        needed = [*needs[:2], needs[2] and pairs.negatives is not None]
        found, radial = kernels_for(device).info_nce.backward(pairs, *rows_all, scale=scale, needs=needed)
        if learnt is None or not needs[3]:
            return [*found, None]
        return [*found, gradient_of_temperature(radial, pairs.temperature, learnt).to(learnt.dtype)]


def needed_for(asked: Sequence[bool]) -> list[bool]:
    """Which gradients have to be computed: those of all embeddings for that of the temperature, the fourth."""
    return [True] * 4 if asked[3] else list(asked)


def _forward_shapes(*inputs: Any) -> tuple[Tensor, ...]:
    call = InfoNCECall(*inputs)
    h, given, kernels = call.h, call.given, kernels_for(call.h.device)
    operand, accumulator = kernels.operand(h.dtype), kernels.accumulator(h.dtype)
    rows = 2 * h.shape[0] if call.both else h.shape[0]
    loss = h.new_empty(() if call.mean else rows, dtype=accumulator)
    same = [call.normalized and operand == x.dtype and x.is_contiguous() for x in given]
    units = [nothing(x) if own else x.new_empty(x.shape, dtype=operand) for x, own in zip(given, same, strict=True)]
    lengths = [nothing(loss) if call.normalized else x.new_empty(x.shape[0], dtype=accumulator) for x in given]
    lse, lost = (h.new_empty(rows, dtype=accumulator) for _ in range(2))
    return loss, lse, lost, *_padded(units, h), *_padded(lengths, loss)


def _backward_shapes(*inputs: Any) -> tuple[Tensor, ...]:
    up = _Upstream(*inputs)
    filled = [*up.needs[:2], up.needs[2] and len(up.units) > 2]
    padded = [*up.units, *[up.units[0]] * (3 - len(up.units))]
    found = [
        x.new_empty(x.shape, dtype=up.dtype) if need else nothing(x) for x, need in zip(padded, filled, strict=True)
    ]
    return *found, nothing(up.lse) if up.learnt is None or not up.needs[3] else torch.empty_like(up.learnt)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    call = InfoNCECall(*inputs)
    _, lse, lost, *kept = output
    units = [x if unit.numel() == 0 else unit for x, unit in zip(call.given, kept[:3], strict=False)]
    lengths = [] if call.normalized else kept[3 : 3 + len(units)]
    ctx.save_for_backward(lse, lost, call.learnt, *units, *lengths)
    ctx.tensors = len(units)
    ctx.settings = call.temperature, call.both, call.normalized, call.h.dtype
    ctx.set_materialize_grads(False)


def _gradient(
    backward: Callable[..., Any], ctx: Any, gradient: Tensor | None, *unused: Any
) -> tuple[Tensor | None, ...]:
    if gradient is None:
        return (None,) * 8
    lse, lost, learnt, *rows = ctx.saved_tensors
    units, lengths = rows[: ctx.tensors], rows[ctx.tensors :]
    temperature, both, normalized, dtype = ctx.settings
    asked = ctx.needs_input_grad[:4]
    needs = needed_for(asked)
    found = backward(gradient, units, lengths, learnt, temperature, lse, lost, both, normalized, dtype, needs)
    return (*(g if ask else None for g, ask in zip(found, asked, strict=True)), None, None, None, None)


register(
    "info_nce(Tensor h, Tensor h_pos, Tensor? negatives, Tensor? learnt, float temperature, bool both, bool normalized,"
    " bool mean) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _forward,
    _forward_shapes,
)
register(
    "info_nce_backward(Tensor gradient, Tensor[] units, Tensor[] lengths, Tensor? learnt, float temperature,"
    " Tensor lse, Tensor lost, bool both, bool normalized, ScalarType dtype, bool[] needs)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _backward_shapes,
)
differentiate("info_nce", _save, functools.partial(_gradient, torch.ops.copgen.info_nce_backward))
refuse_second_gradient("info_nce_backward")
_eager = eager_twin(_forward, _save, _gradient, _backward, slice(1))
