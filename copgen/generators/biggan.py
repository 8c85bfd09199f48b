"""The BigGAN network (Brock et al. 2019) that BigBiGAN and IC-GAN share; they differ in where the condition comes from.

z is split into one chunk more than there are blocks. Chunk 0 makes the 4x4 image; block i is conditioned on y followed
by chunk i + 1. Each block doubles the resolution; one of them is followed by self-attention.

Legend: N images, y (N, Y) the shared part of the condition, z (N, latent_dim).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from copgen.generators.attention import SelfAttention
from copgen.generators.folded_weights import PowerStepWeights
from copgen.generators.norms import AffineNorm, ConditionalNorm
from copgen.generators.state_dict_layout import dimensions
from copgen.runtime.errors import DataError

BOTTOM = 4  # pixels a side before the first block
# The reference does not pass its eps to the last norm, which therefore uses PyTorch's default.
OUTPUT_NORM_EPS = 1e-5


class BigGANConfig(BaseModel):
    """Widths, read from the shapes in a checkpoint, and epsilons."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[int, ...] = Field(min_length=2, description="of the 4x4 image and after each block")
    chunk: int = Field(ge=1, description="coordinates of z in each chunk")
    shared: int = Field(ge=1, description="width Y of the shared part of the condition")
    classes: int = Field(ge=1, description="rows of the class table")
    attention: int = Field(ge=0, description="the block that self-attention follows")
    norm_eps: float = Field(gt=0, description="of the blocks' batch norms")
    spectral_eps: float = Field(gt=0, description="clamp of norms in the power step")

    @model_validator(mode="after")
    def _attention_follows_a_block(self) -> BigGANConfig:
        if self.attention >= self.blocks:
            raise ValueError(f"attention after block {self.attention} of {self.blocks}")
        return self

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.channels) - 1

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return int(BOTTOM * 2**self.blocks)

    @property
    def latent_dim(self) -> int:
        """Coordinates of z."""
        return self.chunk * (self.blocks + 1)


def read_config(
    tensors: Mapping[str, Tensor], *, shared: int, norm_eps: float, spectral_eps: float, path: Path
) -> BigGANConfig:
    """The configuration that the shapes in a checkpoint imply.

    Raises:
        DataError: a tensor that a width is read from is missing or has another rank, or the widths are inconsistent.
    """
    blocks = 0
    while f"blocks.{blocks}.0.conv1.weight" in tensors:
        blocks += 1
    convs = [dimensions(tensors, f"blocks.{i}.0.conv1.weight", 4, path=path) for i in range(blocks)]
    attention = [i for i in range(blocks) if f"blocks.{i}.1.gamma" in tensors]
    if len(attention) != 1:
        raise DataError(f"{path}: self-attention follows {len(attention)} blocks; expected one.")
    return BigGANConfig(
        channels=(convs[0][1], *(conv[0] for conv in convs)),
        chunk=dimensions(tensors, "linear.weight", 2, path=path)[1],
        shared=shared,
        classes=dimensions(tensors, "shared.weight", 2, path=path)[0],
        attention=attention[0],
        norm_eps=norm_eps,
        spectral_eps=spectral_eps,
    )


def shapes(config: BigGANConfig, *, class_width: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the network's tensors; the logged singular values `sv0` are not among them."""
    found: dict[str, tuple[int, ...]] = {"shared.weight": (config.classes, class_width)}

    def layer(name: str, *shape: int, bias: bool = True) -> None:
        found[f"{name}.weight"], found[f"{name}.u0"] = shape, (1, shape[0])
        if bias:
            found[f"{name}.bias"] = (shape[0],)

    def statistics(name: str, channels: int) -> None:
        found[f"{name}.stored_mean"] = found[f"{name}.stored_var"] = (channels,)

    layer("linear", config.channels[0] * BOTTOM**2, config.chunk)
    condition = config.shared + config.chunk
    for i, (into, out) in enumerate(pairwise(config.channels)):
        block = f"blocks.{i}.0"
        for norm, width in (("bn1", into), ("bn2", out)):
            statistics(f"{block}.{norm}", width)
            layer(f"{block}.{norm}.gain", width, condition, bias=False)
            layer(f"{block}.{norm}.bias", width, condition, bias=False)
        layer(f"{block}.conv1", out, into, 3, 3)
        layer(f"{block}.conv2", out, out, 3, 3)
        layer(f"{block}.conv_sc", out, into, 1, 1)
    width, name = config.channels[config.attention + 1], f"blocks.{config.attention}.1"
    found[f"{name}.gamma"] = ()
    for key, out, into in (
        ("theta", width // 8, width),
        ("phi", width // 8, width),
        ("g", width // 2, width),
        ("o", width, width // 2),
    ):
        layer(f"{name}.{key}", out, into, 1, 1, bias=False)
    last = config.channels[-1]
    statistics("output_layer.0", last)
    found["output_layer.0.gain"] = found["output_layer.0.bias"] = (last,)
    layer("output_layer.2", 3, last, 3, 3)
    return found


def singular_value_logs(names: Mapping[str, Tensor]) -> set[str]:
    """The names of the logged singular values in a checkpoint. They are optional and unused."""
    return {name for name in names if name.endswith(".sv0")}


def _norm(weights: PowerStepWeights, name: str, *, eps: float) -> ConditionalNorm:
    return ConditionalNorm(
        weights.matrix(f"{name}.gain"),
        weights.matrix(f"{name}.bias"),
        weights.tensors[f"{name}.stored_mean"],
        weights.tensors[f"{name}.stored_var"],
        eps=eps,
        dtype=weights.exact,
    )


class Block(nn.Module):
    """x (N, C, H, W) and condition (N, D) to (N, C', 2H, 2W), by a residual of two 3x3 convolutions."""

    def __init__(self, weights: PowerStepWeights, name: str, *, eps: float) -> None:
        super().__init__()
        self.bn1, self.bn2 = (_norm(weights, f"{name}.{norm}", eps=eps) for norm in ("bn1", "bn2"))
        self.conv1 = weights.doubling_conv(f"{name}.conv1")
        self.conv2, self.conv_sc = (weights.conv(f"{name}.{conv}") for conv in ("conv2", "conv_sc"))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv1(F.relu(self.bn1(x, condition)))
        h = self.conv2(F.relu(self.bn2(h, condition)))
        # A 1x1 convolution commutes with nearest upsampling; before it there are a quarter of the pixels.
        skip: Tensor = F.interpolate(self.conv_sc(x), scale_factor=2.0, mode="nearest")
        out: Tensor = h + skip
        return out


class BigGAN(nn.Module):
    """(z, y) to images (N, 3, S, S) in (-1, 1)."""

    def __init__(self, weights: PowerStepWeights, config: BigGANConfig) -> None:
        super().__init__()
        self.config = config
        self.dtype = weights.dtype
        self.linear = weights.linear("linear")
        self.blocks = nn.ModuleList(Block(weights, f"blocks.{i}.0", eps=config.norm_eps) for i in range(config.blocks))
        name = f"blocks.{config.attention}.1"
        names = {layer: f"{name}.{layer}" for layer in ("gamma", "theta", "phi", "g", "o")}
        self.attention = SelfAttention(weights, **names)
        last = "output_layer.0"
        self.output_norm = AffineNorm(
            *(weights.tensors[f"{last}.{key}"] for key in ("gain", "bias", "stored_mean", "stored_var")),
            eps=OUTPUT_NORM_EPS,
            dtype=weights.exact,
        )
        self.output_conv = weights.conv("output_layer.2")

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        chunks = torch.split(z, self.config.chunk, dim=1)
        # The checkpoint is channel-major here: no transposition.
        x = self.linear(chunks[0].to(self.dtype)).view(-1, self.config.channels[0], BOTTOM, BOTTOM)
        for i, block in enumerate(self.blocks):
            x = block(x, torch.cat((y, chunks[i + 1]), dim=1))
            if i == self.config.attention:
                x = self.attention(x)
        x = self.output_conv(F.relu(self.output_norm(x)))
        return torch.tanh(x.to(z.dtype))
