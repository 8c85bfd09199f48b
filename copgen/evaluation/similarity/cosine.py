"""The cosine of two images' features, in any space of features."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from copgen.evaluation.spaces import FeatureSpace


@dataclass(frozen=True)
class CosineSimilarity:
    """Cosine in a space of features, -1 to 1."""

    space: FeatureSpace

    @property
    def name(self) -> str:
        """That of the space."""
        return self.space.name

    @property
    def text(self) -> str:
        """That of the space."""
        return f"cosine of features: {self.space.text}"

    @property
    def inputs(self) -> dict[str, str]:
        """Those of the space."""
        return self.space.inputs

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(N,)."""
        return self.between(self.space(x), self.space(y))

    @staticmethod
    def between(h: Tensor, h_pos: Tensor) -> Tensor:
        """(N,) of features (N, D) that are known already."""
        return F.cosine_similarity(h, h_pos, dim=1)
