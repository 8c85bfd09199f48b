"""The losses of a GAN: the non-saturating logistic loss (Goodfellow et al. 2014), and R1 (Mescheder et al. 2018).

Legend: logits (N,) of the discriminator D, positive for images that look real; losses in nats.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), means over the logits (N,) and (M,), with D the sigmoid of a logit.

    2 ln 2 = 1.386 if D tells nothing.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """-log D(G(z)), the mean over the logits (N,); ln 2 = 0.693 if D tells nothing."""
    return F.softplus(-fake).mean()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """R1: the squared norm of the gradient of a logit with respect to its image, mean over the images.

    Args:
        logits: (N,), of the images.
        images: (N, ...), real ones; they require a gradient.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1).mean()
