"""SupCon "out" (Khosla et al. 2020, equation 2): all views of all images of a class are each other's positives.

    L = mean over rows i of  1 / |P(i)|  sum_{p in P(i)}  -log  exp(h_i . h_p / tau) / sum_{j != i} exp(h_i . h_j / tau)

P(i) are the other rows of i's class. Without classes, but with several positives of each anchor, every sample is a
class of its own: all its views are each other's positives. With one positive that would be SimCLR, which is refused,
as somebody who asks for SupCon expects classes.

All views pass through f in one batch, as in SimCLR; rows without a positive are left out of the mean, and counted.

Legend: K batch size; V views of each sample; h (V K, D) embeddings; tau the temperature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from copgen.distributed.gather import gather_rows
from copgen.distributed.ranks import Ranks
from copgen.encoders import Projector, ResNet
from copgen.methods.branch import Branch, Outputs
from copgen.methods.method import Method
from copgen.objectives import rows_without_positive, sup_con
from copgen.runtime.errors import UsageError


class SupCon(Method):
    """SupCon of h = projector(backbone(v)).

    Args:
        backbone: the encoder to train.
        hidden, out: widths of the projector.
        temperature: tau.
        views: V.
        ranks: the processes that share a batch.
    """

    def __init__(
        self,
        backbone: ResNet,
        *,
        hidden: int,
        out: int,
        temperature: float,
        views: int = 2,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__()
        self.f = Branch(backbone, Projector(backbone.feature_dim, hidden, out))
        self.temperature = temperature
        self.views = views
        self.ranks = ranks or Ranks()
        self._alone: Tensor | None = None

    def check(self, *, labelled: bool) -> None:
        """Check that there are classes, or several positives."""
        if not labelled and self.views < 3:
            raise UsageError(
                "supcon needs the class of each image, which this data does not have.",
                fix="Use --method simclr, several --positives of each anchor, or data with classes.",
            )

    def loss(self, outputs: Sequence[Outputs], frozen: Sequence[Outputs], labels: Tensor | None) -> dict[str, Tensor]:
        """SupCon in nats, over the rows that have a positive.

        Raises:
            UsageError: neither classes nor several positives.
        """
        self.check(labelled=labels is not None)
        h = torch.cat([output["projection"] for output in outputs])
        K = len(h) // len(outputs)
        if labels is None:
            labels = torch.arange(K, device=h.device) + self.ranks.rank * K
        labels = labels.repeat(len(outputs))
        group = self.ranks.group
        self._alone = rows_without_positive(gather_rows(labels, group))
        return {"loss": sup_con(h, labels, temperature=self.temperature, group=group)}

    def metrics(self) -> dict[str, Tensor]:
        """How many rows of the batch had no positive."""
        return {} if self._alone is None else {"rows_without_positive": self._alone}

    def chance(self, K: int) -> dict[str, float]:
        """ln(V K - 1)."""
        return {"chance": math.log(self.views * K - 1)}
