"""The native operators as torch sees them: shapes without data, gradients; imported once the library is loaded.

Ordinary tensors take a way past the dispatcher's Python layers, which would take longer than a small batch; tracers see
the operators themselves.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import torch
from torch import Tensor

from copgen.latents.operations.reference import accumulator
from copgen.runtime import philox
from copgen.runtime.errors import UsageError

_LIBRARY: Any = torch.library.Library("copgen", "FRAGMENT")  # type: ignore[no-untyped-call]
_OPS: Any = torch.ops.copgen
_PLAIN = (Tensor, torch.nn.Parameter)
_STATISTICS = 6
_MOST_KEPT = 120 << 20  # bytes of hidden units: at 65,536 rows of width 784 three fifths of what autograd would keep


def navigate(
    z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, delta: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """z' (K, d), d (K,) and stats (6,) of checked arguments."""
    inputs = (z, w1, b1, w2, b2)
    needed = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    kept = rows_to_keep(z.shape[0], w1.shape[0], z.dtype, needed=needed)
    if not _is_eager(inputs):
        z_pos, d, stats, _ = _OPS.navigate.default(*inputs, delta, kept)
    elif needed:
        z_pos, d, stats = _Navigate.apply(*inputs, delta, kept)
    else:
        z_pos, d, stats, _ = _past_autograd(_OPS.navigate.default, *inputs, delta, kept)
    return z_pos, d, stats


def rows_to_keep(rows: int, width: int, dtype: torch.dtype, *, needed: bool) -> int:
    """How many rows of hidden units the forward pass keeps for the backward pass; the others are computed again."""
    if not needed:
        return 0
    return min(rows, _MOST_KEPT // (width * accumulator(dtype).itemsize))


def constrain(z: Tensor, z_pos: Tensor, delta: float | None, mode: str) -> tuple[Tensor, ...]:
    """z' within delta or nothing, d, violates, order or nothing, stats, of checked arguments."""
    needed = torch.is_grad_enabled() and (z.requires_grad or z_pos.requires_grad)
    outputs: tuple[Tensor, ...]
    if needed or not _is_eager((z, z_pos)):
        outputs = _OPS.constrain.default(z, z_pos, delta, mode)
    else:
        outputs = _past_autograd(_OPS.constrain.default, z, z_pos, delta, mode)
    return outputs


def draw_latents(rows: Tensor, key: int, dim: int, scale: float, threshold: float | None) -> Tensor:
    """The draw (K, dim), float32, of the key of a stream."""
    tail = 0.0 if threshold is None else 0.5 * math.erfc(threshold / math.sqrt(2.0))
    drawn: Tensor = _OPS.draw_latents.default(rows, philox.signed(key), dim, scale, threshold, tail)
    return drawn


def _is_eager(tensors: tuple[Tensor, ...]) -> bool:
    return not torch.compiler.is_compiling() and all(type(x) in _PLAIN for x in tensors)


def _past_autograd(operator: Any, *arguments: Any) -> Any:
    with torch._C._AutoDispatchBelowAutograd():
        return operator(*arguments)


def _no_second_derivative() -> UsageError:
    return UsageError(
        "The native navigator and constraint have no second derivative.",
        fix="Take it through copgen.latents.operations.reference, or set COPGEN_NATIVE=0.",
    )


class _Navigate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        outputs = _past_autograd(_OPS.navigate.default, *inputs)
        _save_navigate(ctx, inputs, outputs)
        ctx.mark_non_differentiable(outputs[2])
        return outputs[:3]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        if torch.is_grad_enabled():
            raise _no_second_derivative()
        with torch._C._AutoDispatchBelowAutograd():
            return _navigate_gradient(ctx, *gradients)


def _save_navigate(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, _, _ = inputs
    _, d, _, hidden = output
    ctx.save_for_backward(*tensors, d, hidden)
    ctx.set_materialize_grads(False)


def _navigate_gradient(ctx: Any, g: Tensor | None, g_d: Tensor | None, *unused: Any) -> tuple[Tensor | None, ...]:
    if g is None and g_d is None:
        return (None,) * 7
    wanted = ctx.needs_input_grad
    saved = ctx.saved_tensors
    gradients = _OPS.navigate_backward.default(g, g_d, *saved, wanted[0], any(wanted[1:5]))
    return (*(x if want else None for x, want in zip(gradients, wanted[:5], strict=True)), None, None)


def _save_constrain(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    z, z_pos, delta, mode = inputs
    ctx.save_for_backward(z, z_pos, output[1])
    ctx.delta = delta if mode == "project" else None
    ctx.set_materialize_grads(False)


def _constrain_gradient(ctx: Any, g: Tensor | None, g_d: Tensor | None, *unused: Any) -> tuple[Tensor | None, ...]:
    # An output that its mode leaves empty has no gradient, whatever the tracer hands in for it.
    g = None if g is None or ctx.delta is None else g
    if g is None and g_d is None:
        return (None,) * 4
    dz, dz_pos = _OPS.constrain_backward.default(g, g_d, *ctx.saved_tensors, ctx.delta)
    return dz, dz_pos, None, None


def _navigate_shapes(
    z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, delta: float | None, kept: int
) -> tuple[Tensor, ...]:
    dtype = accumulator(z.dtype)
    return (
        z.new_empty(z.shape),
        z.new_empty(z.shape[0], dtype=dtype),
        z.new_empty(_STATISTICS, dtype=torch.float64),
        z.new_empty((kept, w1.shape[0]), dtype=dtype),
    )


def _navigate_backward_shapes(
    g: Tensor | None,
    g_d: Tensor | None,
    z: Tensor,
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    d: Tensor,
    hidden: Tensor,
    for_z: bool,
    for_weights: bool,
) -> tuple[Tensor, ...]:
    dz = z.new_empty(z.shape if for_z else 0)
    return dz, *(x.new_empty(x.shape if for_weights else 0) for x in (w1, b1, w2, b2))


def _constrain_shapes(z: Tensor, z_pos: Tensor, delta: float | None, mode: str) -> tuple[Tensor, ...]:
    rows = z.shape[0]
    return (
        z.new_empty(z.shape if mode == "project" else 0),
        z.new_empty(rows, dtype=accumulator(z.dtype)),
        z.new_empty(rows, dtype=torch.bool),
        z.new_empty(rows if mode == "reject" else 0, dtype=torch.int64),
        z.new_empty(_STATISTICS, dtype=torch.float64),
    )


def _constrain_backward_shapes(
    g: Tensor | None, g_d: Tensor | None, z: Tensor, z_pos: Tensor, d: Tensor, delta: float | None
) -> tuple[Tensor, Tensor]:
    return z.new_empty(z.shape), z.new_empty(z.shape)


def _draw_shapes(rows: Tensor, key: int, dim: int, scale: float, threshold: float | None, tail: float) -> Tensor:
    return rows.new_empty((rows.shape[0], dim), dtype=torch.float32)


def _bits_shapes(rows: Tensor, key: int, columns: int) -> Tensor:
    return rows.new_empty((rows.shape[0], columns))


def _keep_nothing(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.set_materialize_grads(False)


def _refuse(ctx: Any, *gradients: Any) -> NoReturn:
    raise _no_second_derivative()


def _register(name: str, shapes: Any, save: Any = None, gradient: Any = None) -> None:
    torch.library.register_fake(f"copgen::{name}", shapes, lib=_LIBRARY)
    if gradient is not None:
        torch.library.register_autograd(f"copgen::{name}", gradient, setup_context=save, lib=_LIBRARY)


_register("navigate", _navigate_shapes, _save_navigate, _navigate_gradient)
_register("navigate_backward", _navigate_backward_shapes, _keep_nothing, _refuse)
_register("constrain", _constrain_shapes, _save_constrain, _constrain_gradient)
_register("constrain_backward", _constrain_backward_shapes, _keep_nothing, _refuse)
_register("draw_latents", _draw_shapes)
_register("philox_bits", _bits_shapes)
