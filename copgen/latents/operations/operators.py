"""Registrations of the native operators on latents with torch: meta (shape) functions and gradients.

The gradients are operators themselves, which are not differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.compiler import is_compiling

from copgen.latents.operations.checks import check_navigator
from copgen.latents.operations.reference import accumulator
from copgen.runtime import philox
from copgen.runtime.errors import UsageError
from copgen.runtime.native import native

_LIBRARY: Any = torch.library.Library("copgen", "FRAGMENT")  # type: ignore[no-untyped-call]
_OPS: Any = torch.ops.copgen
_STATISTICS = 6
_MOST_KEPT = 120 << 20  # bytes of hidden units: at 65,536 rows of width 784, three fifths of what autograd would store


def navigate(
    z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, delta: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """z' (K, d), d (K,) and stats (6,); delta was checked by the caller.

    The operator checks the other arguments itself, which is faster than in Python. If it refuses them, they are checked
    here again for a better message.
    """
    if is_compiling():
        check_navigator(z, w1, b1, w2, b2)
    try:
        learns = z.requires_grad or w1.requires_grad or b1.requires_grad or w2.requires_grad or b2.requires_grad
        kept = rows_to_keep(z.shape[0], w1.shape[0], z.dtype) if learns and torch.is_grad_enabled() else 0
        z_pos, d, stats, _ = _OPS.navigate.default(z, w1, b1, w2, b2, delta, kept)
    except Exception:
        check_navigator(z, w1, b1, w2, b2)
        raise
    return z_pos, d, stats


def rows_to_keep(rows: int, width: int, dtype: torch.dtype) -> int:
    """Rows of hidden units that the forward pass stores for the backward pass; the others are recomputed."""
    return min(rows, _MOST_KEPT // (width * accumulator(dtype).itemsize))


def constrain(z: Tensor, z_pos: Tensor, delta: float | None, mode: str) -> tuple[Tensor, ...]:
    """z' within delta or an empty tensor, d, violates, order or an empty tensor, stats, of checked arguments."""
    outputs: tuple[Tensor, ...] = _OPS.constrain.default(z, z_pos, delta, mode)
    return outputs


def draw_latents(rows: Tensor, key: int, dim: int, scale: float, threshold: float | None) -> Tensor:
    """Latents (K, dim), float32, for the key of a stream."""
    tail = 0.0 if threshold is None else 0.5 * math.erfc(threshold / math.sqrt(2.0))
    drawn: Tensor = _OPS.draw_latents.default(rows, philox.signed(key), dim, scale, threshold, tail)
    return drawn


def _navigate_shapes(
    z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, delta: float | None, kept: int
) -> tuple[Tensor, ...]:
    check_navigator(z, w1, b1, w2, b2)  # for devices whose implementation does not check them
    dtype = accumulator(z.dtype)
    return (
        z.new_empty(z.shape),
        z.new_empty(z.shape[0], dtype=dtype),
        z.new_empty(_STATISTICS, dtype=torch.float64),
        z.new_empty((kept, w1.shape[0]), dtype=dtype),
    )


def _navigate_backward_shapes(*inputs: Any) -> tuple[Tensor, ...]:
    _, _, z, *weights, _, _, for_z, for_weights = inputs
    return z.new_empty(z.shape if for_z else 0), *(x.new_empty(x.shape if for_weights else 0) for x in weights)


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


def _keep_for_navigate(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, d, stats, hidden = output
    ctx.save_for_backward(*inputs[:5], d, hidden)
    ctx.mark_non_differentiable(stats, hidden)
    ctx.set_materialize_grads(False)


def _navigate_gradient(ctx: Any, g: Tensor | None, g_d: Tensor | None, *unused: None) -> tuple[Tensor | None, ...]:
    if g is None and g_d is None:
        return (None,) * 7
    wanted = ctx.needs_input_grad[:5]
    found = _OPS.navigate_backward.default(g, g_d, *ctx.saved_tensors, wanted[0], any(wanted[1:]))
    return (*(x if wants else None for x, wants in zip(found, wanted, strict=True)), None, None)


def _keep_for_constrain(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    z, z_pos, delta, mode = inputs
    projected, d, *others = output
    projects = mode == "project"
    ctx.save_for_backward(z, z_pos, d)
    ctx.delta = delta if projects else None
    ctx.mark_non_differentiable(*others, *(() if projects else (projected,)))
    ctx.set_materialize_grads(False)


def _constrain_gradient(ctx: Any, g: Tensor | None, g_d: Tensor | None, *unused: None) -> tuple[Tensor | None, ...]:
    if g is None and g_d is None:
        return (None,) * 4
    return (*_OPS.constrain_backward.default(g, g_d, *ctx.saved_tensors, ctx.delta), None, None)


def _keep_nothing(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.set_materialize_grads(False)


def _refuse(ctx: Any, *gradients: Any) -> NoReturn:
    raise UsageError(
        "The native navigator and constraint have no second derivative.",
        fix="Use copgen.latents.operations.reference, or set COPGEN_NATIVE=0.",
    )


_SHAPES: dict[str, Callable[..., Any]] = {
    "navigate": _navigate_shapes,
    "navigate_backward": _navigate_backward_shapes,
    "constrain": _constrain_shapes,
    "constrain_backward": _constrain_backward_shapes,
    "draw_latents": _draw_shapes,
    "philox_bits": _bits_shapes,
}
_GRADIENTS: dict[str, tuple[Callable[..., Any], Callable[..., None]]] = {
    "navigate": (_navigate_gradient, _keep_for_navigate),
    "navigate_backward": (_refuse, _keep_nothing),
    "constrain": (_constrain_gradient, _keep_for_constrain),
    "constrain_backward": (_refuse, _keep_nothing),
}
if native().usable:
    for _name, _shapes in _SHAPES.items():
        torch.library.register_fake(f"copgen::{_name}", _shapes, lib=_LIBRARY)
    for _name, (_gradient, _keep) in _GRADIENTS.items():
        torch.library.register_autograd(f"copgen::{_name}", _gradient, setup_context=_keep, lib=_LIBRARY)
