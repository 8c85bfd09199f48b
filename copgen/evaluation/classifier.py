"""An encoder with a linear classifier on its features, to fine-tune both.

Legend: K images, C classes, D feature dimension.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from copgen import views
from copgen.encoders import Encoder


class Classifier(nn.Module):
    """Images in [-1, 1] -> logits (K, C).

    Args:
        encoder: its backbone is copied; the encoder itself stays as it is.
        classes: C.
    """

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(encoder.backbone).requires_grad_(True)
        self.head = nn.Linear(encoder.feature_dim, classes)
        nn.init.zeros_(self.head.weight)  # SimCLR's code; so that no random number decides
        nn.init.zeros_(self.head.bias)
        self.to(next(encoder.parameters()).device)
        self._policy = views.policy(encoder.config.views)
        self._start = self.weights()

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images (K, channels, S, S)."""
        logits: Tensor = self.head(self.backbone(views.plain(images, self._policy)))
        return logits

    def weights(self) -> dict[str, Tensor]:
        """A copy of all weights and buffers."""
        return {name: value.detach().clone() for name, value in self.state_dict().items()}

    def reset(self) -> None:
        """The weights of pretraining, and a head of zeros."""
        self.load_state_dict(self._start)

    @torch.no_grad()
    def ranked(self, images: Tensor, *, most: int = 5) -> Tensor:
        """The most likely classes (K, min(most, C)) on the CPU, in evaluation mode; -1 where a logit is not finite."""
        was_training = self.training
        self.eval()
        logits = self.forward(images)
        self.train(was_training)
        classes = logits.topk(min(most, logits.shape[1]), dim=1).indices
        return classes.where(logits.isfinite().all(dim=1, keepdim=True), -torch.ones_like(classes)).cpu()
