"""The projection head from features to embeddings, used while f is trained and discarded afterwards (SimCLR).

Linear, ReLU, Linear, without batch normalisation (authors' code: 512-512-128 on ResNet-18, 2048-2048-128 on
ResNet-50). The losses normalise the embeddings; the projector does not.
"""

from __future__ import annotations

from torch import Tensor, nn


class Projector(nn.Module):
    """features (N, in_dim) -> embeddings (N, out_dim), not normalised.

    Args:
        in_dim: the backbone's `feature_dim`.
        hidden_dim: width of the hidden layer; None takes `in_dim`, as the authors do.
        out_dim: dimension of the embeddings.
    """

    def __init__(self, in_dim: int, hidden_dim: int | None = None, out_dim: int = 128) -> None:
        super().__init__()
        hidden_dim = hidden_dim or in_dim
        self.net = nn.Sequential(nn.Linear(in_dim, hidden_dim), nn.ReLU(inplace=True), nn.Linear(hidden_dim, out_dim))

    def forward(self, features: Tensor) -> Tensor:
        embeddings: Tensor = self.net(features)
        return embeddings
