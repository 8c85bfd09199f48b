"""A vision transformer, as DINOv2 has them: patches of 14 pixels, layer scale, and a class token.

Legend: N images, P patches a side, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH, HEAD = 14, 64
EPSILON = 1e-6
OFFSET = 0.1  # of the interpolation of positions, in patches: DINOv2's, which its features depend on


class Scale(nn.Module):
    """A gain for each coordinate."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x * self.gamma


class Attention(nn.Module):
    """Self-attention with heads of 64 coordinates."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, D) to the same shape."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, HEAD)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two layers, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Attention and MLP, each normalised before and scaled after."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, EPSILON), nn.LayerNorm(width, EPSILON)
        self.attn, self.mlp = Attention(width), Mlp(width)
        self.ls1, self.ls2 = Scale(width), Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        out: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class PatchEmbedding(nn.Module):
    """One linear map of each patch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """(N, P * P, D) of images (N, 3, 14 P, 14 P)."""
        patches: Tensor = self.proj(images)
        return patches.flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """Images to their class token.

    Args:
        width: D, a multiple of 64.
        depth: number of blocks.
        positions: P of the images that the positions were trained on.
    """

    def __init__(self, *, width: int, depth: int, positions: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + positions**2, width))
        self.patch_embed = PatchEmbedding(width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """The normalised class token (N, D) of images (N, 3, 14 P, 14 P)."""
        side = images.shape[-1] // PATCH
        first = self.cls_token + self.pos_embed[:, :1]
        x = torch.cat((first.expand(len(images), -1, -1), self.patch_embed(images) + self._positions(side)), dim=1)
        for block in self.blocks:
            x = block(x)
        token: Tensor = self.norm(x[:, 0])
        return token

    def _positions(self, side: int) -> Tensor:
        """(1, side * side, D): the trained positions, interpolated."""
        trained = self.pos_embed[:, 1:]
        of = round(trained.shape[1] ** 0.5)
        if of == side:
            return trained
        grid = trained.transpose(1, 2).reshape(1, -1, of, of)
        resized = F.interpolate(grid, scale_factor=((side + OFFSET) / of,) * 2, mode="bicubic")
        return resized.flatten(2).transpose(1, 2)
