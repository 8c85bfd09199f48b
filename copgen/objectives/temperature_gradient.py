"""The gradient of a learnt temperature, derived from the gradients of the embeddings."""

from __future__ import annotations

from torch import Tensor


def gradient_of_temperature(radial: Tensor, tau: float | Tensor, learnt: Tensor) -> Tensor:
    """dL/dtau = -sum_i <dz_i, z_i> / (2 tau), in the shape of `learnt` and the dtype of `radial`.

    Every logit is of degree 2 in the embeddings and of degree -1 in tau (Euler's identity).

    Args:
        radial: numbers whose sum is that of <dz, z> over all rows.
        tau: the temperature's value.
        learnt: the temperature as it was given, one element.
    """
    return (-0.5 * radial.sum() / tau).reshape(learnt.shape)
