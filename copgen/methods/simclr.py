"""SimCLR (Chen et al. 2020): among all views in a batch, f learns to find the other view of the same image.

Both views pass through f in one batch, so that its batch statistics are joint, and through a projector that is
discarded afterwards. The loss is symmetric InfoNCE, called NT-Xent in the paper.

Legend: K batch size; v, v' (K, C, H, W) views; h, h' (K, D) embeddings; tau the temperature.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from copgen.encoders import Projector, ResNet
from copgen.methods.method import Method
from copgen.objectives import chance_level, info_nce


class SimCLR(Method):
    """L(h, h') with h = projector(backbone(v)).

    Args:
        backbone: the encoder to train.
        hidden, out: widths of the projector.
        temperature: tau.
    """

    def __init__(self, backbone: ResNet, *, hidden: int, out: int, temperature: float) -> None:
        super().__init__()
        self.f = nn.Sequential(backbone, Projector(backbone.feature_dim, hidden, out))
        self.temperature = temperature

    @property
    def backbone(self) -> ResNet:
        """The encoder without its projector."""
        return cast("ResNet", self.f[0])

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The modules to checkpoint."""
        return {"encoder": self.f}

    def forward(self, v: Tensor, v_pos: Tensor) -> dict[str, Tensor]:
        """InfoNCE in nats, with all other views of the batch as negatives."""
        h, h_pos = self.f(torch.cat((v, v_pos))).chunk(2)
        return {"loss": info_nce(h, h_pos, temperature=self.temperature, anchors="both")}

    def chance(self, K: int) -> dict[str, float]:
        """ln(2K - 1)."""
        return {"chance": chance_level(K)}
