"""The fused navigator of kernels/navigate.py, on the tensor cores, as an operator of torch; its gradients are products.

The gradients follow torch's TF32 setting, as those of csrc/cuda do, and are no operator of their own's derivative: a
second derivative is refused.

Legend: K rows; d coordinates; H hidden units; h hidden units' values (K, H); m = z' - z; d_k = ||m_k|| / sqrt(d).
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.kernels import navigate as kernels
from copgen.latents.operations.checks import check_navigator
from copgen.latents.operations.reference import accumulator
from copgen.runtime.errors import UsageError

_LIBRARY: Any = torch.library.Library("copgen", "FRAGMENT")  # type: ignore[no-untyped-call]
_OPS: Any = torch.ops.copgen
_MOST_KEPT = 120 << 20  # bytes of hidden units that the forward pass stores; further rows are recomputed
_PANEL_BYTES = 64 << 20  # of hidden units in the backward pass, at most


def navigate(
    z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, delta: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """z' (K, d), d (K,) and stats (6,); delta was checked by the caller."""
    check_navigator(z, w1, b1, w2, b2)
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in (z, w1, b1, w2, b2))
    kept = min(z.shape[0], _MOST_KEPT // (w1.shape[0] * accumulator(z.dtype).itemsize)) if learns else 0
    z_pos, d, stats, _ = _OPS.navigate_on_tensor_cores.default(z, w1, b1, w2, b2, delta, kept)
    return z_pos, d, stats


def _launching(device: torch.device) -> AbstractContextManager[Any]:
    """The tensors' own GPU is the current device, on which Triton launches wherever they are."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _forward(
    z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, delta: float | None, kept: int
) -> tuple[Tensor, ...]:
    with _launching(z.device):
        return kernels.forward(z, w1, b1, w2, b2, delta, kept)


def _forward_shapes(
    z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, delta: float | None, kept: int
) -> tuple[Tensor, ...]:
    dtype = accumulator(z.dtype)
    return (
        z.new_empty(z.shape),
        z.new_empty(z.shape[0], dtype=dtype),
        z.new_empty(kernels.STATISTICS, dtype=torch.float64),
        z.new_empty((kept, w1.shape[0]), dtype=dtype),
    )


def _backward(
    g: Tensor | None, g_d: Tensor | None, z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, d: Tensor,
    hidden: Tensor, for_z: bool, for_weights: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """The gradients of z, W1, b1, W2 and b2, empty if not asked for, from those of z' and d; in panels of rows."""
    dtype, given = accumulator(z.dtype), (w1, b1, w2, b2)
    w1, b1, w2, b2 = (x.to(dtype) for x in given)
    dz = z.new_empty(z.shape if for_z else 0)
    sums = [torch.zeros_like(x) if for_weights else x.new_empty(0) for x in (w1, b1, w2, b2)]
    panel = max(2048, _PANEL_BYTES // (w1.shape[0] * dtype.itemsize))
    with torch.autocast(z.device.type, enabled=False):
        for begin in range(0, z.shape[0], panel):
            end = min(begin + panel, z.shape[0])
            x = z[begin:end].to(dtype)
            h = hidden[begin:end] if end <= hidden.shape[0] else F.linear(x, w1, b1).relu()
            u = torch.zeros_like(x) if g is None else g[begin:end].to(dtype)
            if g_d is not None:
                distance = d[begin:end]
                along = torch.where(distance > 0, g_d[begin:end] / (distance * z.shape[1]), 0.0)
                u = u + along[:, None] * F.linear(h, w2, b2)
            dh = torch.where(h > 0, u @ w2, 0.0)
            if for_z:
                dz[begin:end] = (dh @ w1 if g is None else torch.addmm(g[begin:end].to(dtype), dh, w1)).to(z.dtype)
            if for_weights:
                sums[0].addmm_(dh.T, x)
                sums[1] += dh.sum(0)
                sums[2].addmm_(u.T, h)
                sums[3] += u.sum(0)
    return dz, *(x.to(one.dtype) for x, one in zip(sums, given, strict=True))


def _backward_shapes(*inputs: Any) -> tuple[Tensor, ...]:
    _, _, z, *weights, _, _, for_z, for_weights = inputs
    return z.new_empty(z.shape if for_z else 0), *(x.new_empty(x.shape if for_weights else 0) for x in weights)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, d, stats, hidden = output
    ctx.save_for_backward(*inputs[:5], d, hidden)
    ctx.mark_non_differentiable(stats, hidden)
    ctx.set_materialize_grads(False)


def _gradient(ctx: Any, g: Tensor | None, g_d: Tensor | None, *unused: None) -> tuple[Tensor | None, ...]:
    if g is None and g_d is None:
        return (None,) * 7
    wanted = ctx.needs_input_grad[:5]
    backward = _OPS.navigate_on_tensor_cores_backward.default
    found = backward(g, g_d, *ctx.saved_tensors, wanted[0], any(wanted[1:]))
    return (*(x if wants else None for x, wants in zip(found, wanted, strict=True)), None, None)


def _keep_nothing(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.set_materialize_grads(False)


def _refuse(ctx: Any, *gradients: Any) -> NoReturn:
    raise UsageError(
        "The fused navigator has no second derivative.",
        fix="Use copgen.latents.operations.reference, or set COPGEN_NATIVE=0.",
    )


def _register(schema: str, compute: Any, shapes: Any, gradient: Any, keep: Any) -> None:
    name = schema.partition("(")[0]
    _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    for device in ("CPU", "CUDA"):  # on the CPU in Triton's interpreter
        _LIBRARY.impl(name, compute, device)
    torch.library.register_fake(f"copgen::{name}", shapes, lib=_LIBRARY)
    torch.library.register_autograd(f"copgen::{name}", gradient, setup_context=keep, lib=_LIBRARY)


_register(
    "navigate_on_tensor_cores(Tensor z, Tensor w1, Tensor b1, Tensor w2, Tensor b2, float? delta, SymInt kept)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _forward,
    _forward_shapes,
    _gradient,
    _keep,
)
_register(
    "navigate_on_tensor_cores_backward(Tensor? g, Tensor? g_d, Tensor z, Tensor w1, Tensor b1, Tensor w2, Tensor b2,"
    " Tensor d, Tensor hidden, bool for_z, bool for_weights) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _backward_shapes,
    _refuse,
    _keep_nothing,
)
