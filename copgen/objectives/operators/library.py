"""Registers operators in the namespace `copgen`, and bypasses the dispatcher's overhead in eager code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast

import torch
from torch import Tensor

from copgen.objectives.second_derivatives import no_second_derivative, refuse_graph_of_gradients

_LIBRARY: Any = torch.library.Library("copgen", "FRAGMENT")  # type: ignore[no-untyped-call]
_DEVICES = ("CPU", "CUDA")
_PLAIN = (Tensor, torch.nn.Parameter)


def register(schema: str, compute: Callable[..., Any], shapes: Callable[..., Any]) -> None:
    """Register an operator with one body for all devices, which selects the kernels, and its fake implementation."""
    name = schema.partition("(")[0]
    _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    for device in _DEVICES:
        _LIBRARY.impl(name, compute, device)
    torch.library.register_fake(f"copgen::{name}", shapes, lib=_LIBRARY)


def differentiate(name: str, save: Callable[..., None], backward: Callable[..., Any]) -> None:
    """Register the gradient of an operator."""
    torch.library.register_autograd(f"copgen::{name}", backward, setup_context=save, lib=_LIBRARY)


def refuse_second_gradient(name: str) -> None:
    """Register that a gradient operator is not differentiable."""

    def save(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.set_materialize_grads(False)

    def refuse(ctx: Any, *gradients: Any) -> NoReturn:
        raise no_second_derivative()

    differentiate(name, save, refuse)


def eager_twin(
    forward: Callable[..., Any],
    save: Callable[..., None],
    gradient: Callable[..., Any],
    backward: Callable[..., Any],
    returned: slice,
) -> Callable[..., Any]:
    """The operator as an autograd function, as the dispatcher's Python overhead exceeds the time of a small batch.

    Args:
        forward, save: the operator's body, and what it saves for the backward pass.
        gradient: maps (the gradient operator's body, ctx, upstream gradients) to the inputs' gradients.
        backward: the body of the gradient operator.
        returned: which outputs to return; only the first has a gradient.
    """

    class Eager(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            outputs = forward(*inputs)
            save(ctx, inputs, outputs)
            wanted = outputs[returned]
            ctx.mark_non_differentiable(*wanted[1:])
            return wanted

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            refuse_graph_of_gradients()
            return gradient(backward, ctx, *gradients)

    return cast("Callable[..., Any]", Eager.apply)


def is_eager(*tensors: Tensor | None) -> bool:
    """Whether these are ordinary tensors outside of tracing, so that the operator may be bypassed."""
    return not torch.compiler.is_compiling() and all(x is None or type(x) in _PLAIN for x in tensors)


def nothing(like: Tensor) -> Tensor:
    """The placeholder that an operator returns for a tensor that is not needed."""
    return like.new_empty(0)
