"""The fused losses are differentiable once; whoever asks for more is told, and never given a zero."""

from __future__ import annotations

import torch

from copgen.runtime.errors import UsageError


def no_second_derivative() -> UsageError:
    """What is wrong with asking for one, and what to do instead."""
    return UsageError(
        "The fused contrastive losses have no second derivative.",
        fix="Take it through copgen.objectives.reference, whose memory is quadratic in the batch.",
    )


def refuse_graph_of_gradients() -> None:
    """Called while gradients are computed: refuses `create_graph=True`, which wants gradients of theirs."""
    if torch.is_grad_enabled():
        raise no_second_derivative()
