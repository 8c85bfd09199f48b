"""InfoNCE with dual negatives as an operator, differentiable in the embeddings, further negatives and the temperature.

The forward pass saves the unit rows, their lengths and two numbers per contrasted row (log-sum-exp and
1 - P(positive)); the backward pass recomputes the logits tile by tile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from copgen.objectives.blocked import one_pass, one_tile
from copgen.objectives.kernel_interface import kernels_for
from copgen.objectives.operators.library import (
    differentiate,
    eager_twin,
    is_eager,
    nothing,
    refuse_second_gradient,
    register,
    temperature_of,
)
from copgen.objectives.precision import full_precision
from copgen.objectives.temperature_gradient import gradient_of_temperature

_Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def info_nce(
    h: Tensor,
    h_pos: Tensor,
    negatives: Tensor | None,
    temperature: float | Tensor,
    *,
    both: bool,
    normalized: bool,
    mean: bool,
) -> Tensor:
    """The loss of checked arguments: () with `mean`, else (K,) or, with `both`, (2K,)."""
    learnt = temperature if isinstance(temperature, Tensor) else None
    fixed = 0.0 if isinstance(temperature, Tensor) else float(temperature)
    compute: Callable[..., Sequence[Tensor]] = torch.ops.copgen.info_nce
    if is_eager(h, h_pos, negatives, learnt):
        compute = _eager
        if h.device.type == "cpu":
            if one_tile.fits(h, negatives, both=both):
                compute = one_tile.info_nce
            elif one_pass.fits(h, h_pos, negatives, temperature, both=both, normalized=normalized, mean=mean):
                compute = one_pass.info_nce
    return compute(h, h_pos, negatives, learnt, fixed, both, normalized, mean)[0]


def _forward(
    h: Tensor,
    h_pos: Tensor,
    negatives: Tensor | None,
    learnt: Tensor | None,
    temperature: float,
    both: bool,
    normalized: bool,
    mean: bool,
) -> _Outputs:
    kernels = kernels_for(h.device)
    given = [h, h_pos] if negatives is None else [h, h_pos, negatives]
    with full_precision(h.device):
        units, lengths = unit_rows(given, normalized)
        loss, lse, lost = kernels.info_nce.forward(
            units[0],
            units[1],
            units[2] if len(units) > 2 else None,
            units[0],
            units[1],
            offset=0,
            both=both,
            temperature=temperature_of(learnt, temperature),
            bounded=not normalized or kernels.bounded(units),
            mean=mean,
        )
    # An operator must not return its own inputs.
    kept = [nothing(unit) if unit is x else unit for unit, x in zip(units, given, strict=True)]
    kept += [nothing(h) for _ in range(3 - len(kept))]
    lengths += [nothing(lse) for _ in range(3 - len(lengths))]
    return loss, lse, lost, kept[0], kept[1], kept[2], lengths[0], lengths[1], lengths[2]


def unit_rows(given: Sequence[Tensor], normalized: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Unit rows in the dtype of the kernels, and their original lengths unless they are `normalized`."""
    kernels = kernels_for(given[0].device)
    operand = kernels.operand(given[0].dtype)
    if normalized:
        return [x.to(operand).contiguous() for x in given], []
    return kernels.normalize(given, operand)


def _backward(
    gradient: Tensor,
    units: Sequence[Tensor],
    lengths: Sequence[Tensor],
    learnt: Tensor | None,
    temperature: float,
    lse: Tensor,
    lost: Tensor,
    both: bool,
    normalized: bool,
    dtype: torch.dtype,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    kernels = kernels_for(lse.device)
    h, h_pos, *others = (unit.contiguous() for unit in units)
    with full_precision(h.device):
        tau = temperature_of(learnt, temperature)
        gradients, radial = kernels.info_nce.backward(
            h,
            h_pos,
            others[0] if others else None,
            h,
            h_pos,
            lse,
            gradient.contiguous(),
            lost,
            offset=0,
            both=both,
            temperature=tau,
            bounded=not normalized or kernels.bounded(units),
            scale=1.0 if gradient.dim() else 1.0 / len(lse),
            lengths=list(lengths) or None,
            dtypes=[dtype] * 3,
            needs=[*needs[:2], needs[2] and bool(others)],
        )
        dtau = nothing(lse)
        if learnt is not None and needs[3]:
            dtau = gradient_of_temperature(radial, tau, learnt).to(learnt.dtype)
    dh, dh_pos, dnegatives = (nothing(h) if g is None else g for g in gradients)
    return dh, dh_pos, dnegatives, dtau


def _forward_shapes(
    h: Tensor,
    h_pos: Tensor,
    negatives: Tensor | None,
    learnt: Tensor | None,
    temperature: float,
    both: bool,
    normalized: bool,
    mean: bool,
) -> _Outputs:
    kernels = kernels_for(h.device)
    operand, accumulator = kernels.operand(h.dtype), kernels.accumulator(h.dtype)
    rows = 2 * h.shape[0] if both else h.shape[0]
    loss = h.new_empty((), dtype=accumulator) if mean else h.new_empty(rows, dtype=accumulator)
    given = [h, h_pos] if negatives is None else [h, h_pos, negatives]
    same = [normalized and operand == x.dtype and x.is_contiguous() for x in given]
    units = [nothing(x) if own else x.new_empty(x.shape, dtype=operand) for x, own in zip(given, same, strict=True)]
    units += [nothing(h) for _ in range(3 - len(units))]
    lengths = [nothing(loss) if normalized else x.new_empty(x.shape[0], dtype=accumulator) for x in given]
    lengths += [nothing(loss) for _ in range(3 - len(lengths))]
    lse, lost = (h.new_empty(rows, dtype=accumulator) for _ in range(2))
    return loss, lse, lost, units[0], units[1], units[2], lengths[0], lengths[1], lengths[2]


def _backward_shapes(
    gradient: Tensor,
    units: Sequence[Tensor],
    lengths: Sequence[Tensor],
    learnt: Tensor | None,
    temperature: float,
    lse: Tensor,
    lost: Tensor,
    both: bool,
    normalized: bool,
    dtype: torch.dtype,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    filled = [needs[0], needs[1], needs[2] and len(units) > 2]
    padded = [*units, *[units[0]] * (3 - len(units))]
    dh, dh_pos, dnegatives = (
        x.new_empty(x.shape, dtype=dtype) if need else nothing(x) for x, need in zip(padded, filled, strict=True)
    )
    dtau = nothing(lse) if learnt is None or not needs[3] else torch.empty_like(learnt)
    return dh, dh_pos, dnegatives, dtau


def _save(ctx: Any, inputs: tuple[Any, ...], output: _Outputs) -> None:
    h, h_pos, negatives, learnt, temperature, both, normalized, _ = inputs
    _, lse, lost, *kept = output
    given = [h, h_pos] if negatives is None else [h, h_pos, negatives]
    units = [x if unit.numel() == 0 else unit for x, unit in zip(given, kept[:3], strict=False)]
    ctx.save_for_backward(lse, lost, learnt, *units, *([] if normalized else kept[3 : 3 + len(given)]))
    ctx.tensors = len(given)
    ctx.settings = temperature, both, normalized, h.dtype
    ctx.set_materialize_grads(False)


def _gradient(
    backward: Callable[..., Any], ctx: Any, gradient: Tensor | None, *unused: Any
) -> tuple[Tensor | None, ...]:
    if gradient is None:
        return (None,) * 8
    lse, lost, learnt, *rows = ctx.saved_tensors
    units, lengths = rows[: ctx.tensors], rows[ctx.tensors :]
    temperature, both, normalized, dtype = ctx.settings
    asked = list(ctx.needs_input_grad[:4])
    # The temperature's gradient follows from those of all embeddings.
    needs = [True, True, ctx.tensors > 2, True] if asked[3] else asked
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
