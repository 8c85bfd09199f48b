"""BYOL (Grill et al. 2020): from one view, f predicts what a slowly following copy of f makes of the other view.

    L = mean over ordered pairs of views (v, v') of  - cos( q(z), z'_xi )

with z = g(f(v)) and its prediction q(z), and z'_xi = g_xi(f_xi(v')) of the target network, through which no gradient
flows. The paper's loss is 2 - 2 cos, summed over both orders: 4 + 4 L for two views; this is lightly's.

There are no negatives, so there is no chance level. The views pass one at a time, each with its own batch statistics.

Legend: K batch size; v (K, C, S, S) views; z projections, q(z) predictions (K, D); xi the target's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor, nn

from copgen.encoders import ResNet, mlp
from copgen.methods.branch import Branch, Outputs
from copgen.methods.method import Method, Views
from copgen.methods.target import Momentum, follow, target_of
from copgen.objectives.reference import normalize


class BYOL(Method):
    """- cos(q(z), z'_xi).

    Args:
        backbone: the encoder to train.
        projector: widths of g after the features: hidden layers, output.
        predictor: width of q's hidden layer.
        momentum: m of the target.
    """

    together = False

    def __init__(self, backbone: ResNet, *, projector: Sequence[int], predictor: int, momentum: Momentum) -> None:
        super().__init__()
        out = projector[-1]
        g, q = mlp((backbone.feature_dim, *projector)), mlp((out, predictor, out))
        self.f = Branch(backbone, g, q)
        self.target = target_of(self.f)
        self.momentum = momentum

    @property
    def parts(self) -> dict[str, nn.Module]:
        """f and its target."""
        return {"encoder": self.f, "target": self.target}

    @torch.no_grad()
    def frozen(self, views: Views) -> tuple[Outputs, ...]:
        """z_xi of every view."""
        return tuple(self.target(v) for v in views)

    def loss(self, outputs: Sequence[Outputs], frozen: Sequence[Outputs], labels: Tensor | None) -> dict[str, Tensor]:
        """The mean negative cosine, in [-1, 1]; no unit."""
        predicted = [normalize(output["prediction"]) for output in outputs]
        targets = [normalize(output["projection"]) for output in frozen]
        pairs = list(permutations(range(len(outputs)), 2))
        return {"loss": -torch.stack([(predicted[i] * targets[j]).sum(dim=1).mean() for i, j in pairs]).mean()}

    def after_step(self, update: int) -> None:
        """The target follows f."""
        follow(self.target, self.f, momentum=self.momentum(update))
