"""The fused losses are differentiable once; a second derivative raises an error instead of being silently zero."""

from __future__ import annotations

import torch

from copgen.runtime.errors import UsageError


def no_second_derivative() -> UsageError:
    """The error for a second derivative."""
    return UsageError(
        "The fused contrastive losses have no second derivative.",
        fix="Use copgen.objectives.reference, whose memory is quadratic in the batch.",
    )


def refuse_graph_of_gradients() -> None:
    """Called in backward passes: refuses `create_graph=True`."""
    if torch.is_grad_enabled():
        raise no_second_derivative()
