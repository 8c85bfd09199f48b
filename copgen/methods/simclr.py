"""SimCLR (Chen et al. 2020): among all views in a batch, f learns to find the other view of the same image.

Both views pass through f in one batch, so that its batch statistics are joint, and through a projector that is
discarded afterwards. The loss is symmetric InfoNCE, called NT-Xent in the paper; with several positives, it is the mean
over all pairs of views.

Legend: K batch size; v, v' (K, C, S, S) views; h, h' (K, D) embeddings; tau the temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from copgen.distributed.ranks import Ranks
from copgen.encoders import Projector, ResNet
from copgen.methods.branch import Branch, Outputs
from copgen.methods.method import Method
from copgen.objectives import chance_level, info_nce


class SimCLR(Method):
    """L(h, h') with h = projector(backbone(v)).

    Args:
        backbone: the encoder to train.
        hidden, out: widths of the projector.
        temperature: tau.
        ranks: the processes that share a batch.
    """

    def __init__(
        self, backbone: ResNet, *, hidden: int, out: int, temperature: float, ranks: Ranks | None = None
    ) -> None:
        super().__init__()
        self.f = Branch(backbone, Projector(backbone.feature_dim, hidden, out))
        self.temperature = temperature
        self.ranks = ranks or Ranks()

    def loss(self, outputs: Sequence[Outputs], frozen: Sequence[Outputs], labels: Tensor | None) -> dict[str, Tensor]:
        """InfoNCE in nats, with all other samples of the batch as negatives, in both views."""
        rows = [output["projection"] for output in outputs]
        how: dict[str, Any] = {"temperature": self.temperature, "anchors": "both", "group": self.ranks.group}
        return {"loss": torch.stack([info_nce(h, h_pos, **how) for h, h_pos in combinations(rows, 2)]).mean()}

    def chance(self, K: int) -> dict[str, float]:
        """ln(2K - 1)."""
        return {"chance": chance_level(K)}
