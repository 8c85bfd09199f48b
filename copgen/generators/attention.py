"""Self-attention over the pixels of a feature map, as in SAGAN (Zhang et al. 2019) and BigGAN.

out = x + gamma * o(softmax(theta(x)^T phi(x)) g(x)) with 1x1 convolutions, keys and values max-pooled 2x2, and the
logits as they are: not divided by the square root of the width.

Legend: N images, C channels; theta and phi have C / 8, g has C / 2.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from copgen.generators.folded_weights import FoldedWeights


class SelfAttention(nn.Module):
    """x (N, C, H, W) to x (N, C, H, W); the layers' names in the checkpoint differ by family."""

    gamma: Tensor

    def __init__(self, weights: FoldedWeights, *, gamma: str, theta: str, phi: str, g: str, o: str) -> None:
        super().__init__()
        self.theta, self.phi, self.g, self.o = (weights.conv(name) for name in (theta, phi, g, o))
        self.register_buffer("gamma", weights.small(gamma).reshape(()))

    def forward(self, x: Tensor) -> Tensor:
        queries = _pixels(self.theta(x))
        keys, values = (_pixels(F.max_pool2d(part(x), 2)) for part in (self.phi, self.g))
        attended = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)[:, 0]
        out = attended.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])
        moved: Tensor = self.gamma.to(x.dtype) * self.o(out)
        return x + moved


def _pixels(x: Tensor) -> Tensor:
    """The pixels of feature maps (N, C, H, W) as rows of one head, (N, 1, H W, C).

    The fused kernels for CUDA take four dimensions only, and contiguous rows; otherwise torch holds the matrix of all
    pairs of pixels in float32.
    """
    rows = x.flatten(2).transpose(1, 2)[:, None]
    return rows.contiguous() if x.is_cuda else rows
