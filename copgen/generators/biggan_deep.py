"""BigGAN-deep (Brock et al. 2019): class-conditional ImageNet, from the PyTorch weights of 2019 and their JSON file.

Every batch norm is conditioned on z and the class embedding. The file holds batch statistics for 51 values of the
truncation t, which both scales z and selects the statistics.

Prior: z = t * (standard normal within +-2). Condition: a class index (N,), or class weights (N, 1000).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from copgen.generators.attention import SelfAttention
from copgen.generators.conditions import check_rows
from copgen.generators.folded_weights import StoredVectorWeights
from copgen.generators.gan import GAN, compute_type
from copgen.generators.load_options import LoadOptions
from copgen.generators.norms import AffineNorm, ConditionalNorm
from copgen.generators.state_dict_layout import tensors_of
from copgen.generators.weights_files import Convert, Converted, Family, Sources, provenance, read_state, single_file
from copgen.latents.prior import Prior
from copgen.runtime import philox
from copgen.runtime.errors import DataError

BOTTOM, BOTTOM_WIDTH = 4, 16  # the first image: pixels a side, and channels in units of the channel width
LICENCE = "none stated by the authors"
_MODEL = re.compile(r"(pytorch_)?model\.(bin|safetensors)$")


class BigGANDeepConfig(BaseModel):
    """The published configuration file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    output_dim: int = Field(ge=8, description="pixels a side")
    z_dim: int = Field(ge=1, description="coordinates of z")
    class_embed_dim: int = Field(ge=1, description="width of a class embedding")
    channel_width: int = Field(ge=1, description="unit of the layers' widths")
    num_classes: int = Field(ge=1, description="classes")
    layers: tuple[tuple[bool, int, int], ...] = Field(
        min_length=1, description="doubles the image, units in, units out"
    )
    attention_layer_position: int = Field(ge=1, description="index of self-attention among the layers")
    eps: float = Field(gt=0, description="of all batch norms")
    n_stats: int = Field(ge=2, description="truncation values that have statistics")

    @property
    def condition(self) -> int:
        """Width of the condition of every norm."""
        return self.z_dim + self.class_embed_dim

    @property
    def image_size(self) -> int:
        """Pixels a side, as the layers make them."""
        return int(BOTTOM * 2 ** sum(doubles for doubles, _, _ in self.layers))

    def blocks(self) -> dict[int, tuple[bool, int, int]]:
        """Index among the layers -> (doubles, channels in, channels out); attention takes an index too."""
        positions = [i + (i >= self.attention_layer_position) for i in range(len(self.layers))]
        w = self.channel_width
        return {
            at: (doubles, w * into, w * out) for at, (doubles, into, out) in zip(positions, self.layers, strict=True)
        }


def shapes(config: BigGANDeepConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor."""
    found: dict[str, tuple[int, ...]] = {"embeddings.weight": (config.class_embed_dim, config.num_classes)}

    def layer(name: str, *shape: int, bias: bool = True) -> None:
        found[f"{name}.weight_orig"], found[f"{name}.weight_u"] = shape, (shape[0],)
        found[f"{name}.weight_v"] = (math.prod(shape[1:]),)
        if bias:
            found[f"{name}.bias"] = (shape[0],)

    def statistics(name: str, channels: int) -> None:
        found[f"{name}.running_means"] = found[f"{name}.running_vars"] = (config.n_stats, channels)

    unit = config.channel_width
    layer("generator.gen_z", BOTTOM**2 * BOTTOM_WIDTH * unit, config.condition)
    for at, (_, into, out) in config.blocks().items():
        name, narrow = f"generator.layers.{at}", into // 4
        for i, width in enumerate((into, narrow, narrow, narrow)):
            statistics(f"{name}.bn_{i}", width)
            layer(f"{name}.bn_{i}.scale", width, config.condition, bias=False)
            layer(f"{name}.bn_{i}.offset", width, config.condition, bias=False)
        layer(f"{name}.conv_0", narrow, into, 1, 1)
        layer(f"{name}.conv_1", narrow, narrow, 3, 3)
        layer(f"{name}.conv_2", narrow, narrow, 3, 3)
        layer(f"{name}.conv_3", out, narrow, 1, 1)
    width = config.blocks()[config.attention_layer_position - 1][2]
    name = f"generator.layers.{config.attention_layer_position}"
    found[f"{name}.gamma"] = (1,)
    for key, out, into in (
        ("theta", width // 8, width),
        ("phi", width // 8, width),
        ("g", width // 2, width),
        ("o_conv", width, width // 2),
    ):
        layer(f"{name}.snconv1x1_{key}", out, into, 1, 1, bias=False)
    statistics("generator.bn", unit)
    found["generator.bn.weight"] = found["generator.bn.bias"] = (unit,)
    layer("generator.conv_to_rgb", unit, unit, 3, 3)
    return found


FAMILY = Family("BigGAN-deep", BigGANDeepConfig, shapes)


def read_config(path: Path) -> BigGANDeepConfig:
    """The configuration in a published JSON file.

    Raises:
        DataError: missing, not JSON, or with a missing or impossible value.
    """
    try:
        config = BigGANDeepConfig.model_validate(json.loads(path.read_text("utf-8-sig")))
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing: a BigGAN-deep needs the JSON file that was published with its weights.",
            fix="Put it beside the weights, with this name or as config.json.",
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a JSON file: {error}.") from None
    widths = [BOTTOM_WIDTH, *(out for _, _, out in config.layers)]
    if [into for _, into, _ in config.layers] != widths[:-1] or widths[-1] != 1:
        raise DataError(f"{path}: the layers' widths do not form a chain from {BOTTOM_WIDTH} to 1.")
    if config.attention_layer_position >= len(config.layers) or config.image_size != config.output_dim:
        raise DataError(f"{path}: output_dim {config.output_dim} does not match its {len(config.layers)} layers.")
    return config


def _config_beside(weights: Path, name: str) -> Path:
    """The configuration in the folder of the weights: named like them, as published, or as on the Hugging Face hub."""
    published = weights.with_name(f"{name}-config.json")
    alike = weights.with_name(_MODEL.sub("config.json", weights.name))
    named = (alike, published, weights.with_name("config.json"))
    return next((path for path in named if path != weights and path.exists()), published)


def converter(name: str, resolution: int) -> Convert:
    """The importer of `pytorch_model.bin` and its configuration at a resolution."""

    def convert(sources: Sources) -> Converted:
        patterns = (f"{name}*.bin", "*.bin", "*model.safetensors")
        path = single_file(sources.weights, *patterns, what="BigGAN-deep checkpoint")
        tensors = tensors_of(read_state(path), path=path, family=FAMILY.name, mark="generator.gen_z.weight_orig")
        config_path = _config_beside(path, name)
        config = read_config(config_path)
        if config.output_dim != resolution:
            raise DataError(
                f"{config_path} is for {config.output_dim}x{config.output_dim} pixels; '{name}' generates "
                f"{resolution}x{resolution}.",
                fix=f"Use biggan-deep-{config.output_dim}.",
            )
        prior = Prior(kind="truncated_normal")
        header = provenance([path, config_path], name=name, prior=prior, licence=LICENCE)
        return FAMILY.converted(tensors, config, path=path, header=header)

    return convert


def loader(name: str, resolution: int) -> Callable[[Sources, LoadOptions], BigGANDeep]:
    """The loader of a published or converted file."""

    def load(sources: Sources, options: LoadOptions) -> BigGANDeep:
        options.refuse(name, inverse=options.inverse, instances=sources.instances, parameters=sources.parameters)
        content, config = FAMILY.open(sources, converter(name, resolution), name=name)
        return BigGANDeep(content, config, options)

    return load


def statistics_at(rows: Tensor, truncation: float) -> Tensor:
    """The statistics (C,), float64, that the reference uses; rows (R, C) are those at truncations 0, 1/(R-1), .., 1.

    Between rows the reference swaps the interpolation weights: the lower row is weighted by the fraction. With the
    rounding of the position this moves grid points by a row (0.58 uses the row below, 0.28 the one above). We reproduce
    it.
    """
    last = rows.shape[0] - 1
    fraction, whole = math.modf(truncation / (1.0 / last))
    lower = rows[int(whole)].double()
    if fraction == 0.0:
        return lower
    return lower * fraction + rows[min(int(whole) + 1, last)].double() * (1.0 - fraction)


def _norm(weights: StoredVectorWeights, name: str, *, eps: float, truncation: float) -> ConditionalNorm:
    mean, var = (
        statistics_at(weights.tensors[f"{name}.{key}"], truncation) for key in ("running_means", "running_vars")
    )
    return ConditionalNorm(
        weights.matrix(f"{name}.scale"), weights.matrix(f"{name}.offset"), mean, var, eps=eps, dtype=weights.exact
    )


class DeepBlock(nn.Module):
    """x (N, C, H, W) and condition (N, D) to (N, C', H or 2H, W or 2W): a bottleneck of four convolutions.

    Where the block narrows, the skip connection keeps the first channels; it has no convolution.
    """

    def __init__(
        self, weights: StoredVectorWeights, name: str, *, doubles: bool, out: int, eps: float, truncation: float
    ) -> None:
        super().__init__()
        self.doubles, self.out = doubles, out
        self.bn = nn.ModuleList(_norm(weights, f"{name}.bn_{i}", eps=eps, truncation=truncation) for i in range(4))
        self.conv = nn.ModuleList(
            weights.doubling_conv(f"{name}.conv_{i}") if i == 1 and doubles else weights.conv(f"{name}.conv_{i}")
            for i in range(4)
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h, skip = x, x[:, : self.out]
        for bn, conv in zip(self.bn, self.conv, strict=True):
            h = conv(F.relu(bn(h, condition)))
        return h + (F.interpolate(skip, scale_factor=2.0, mode="nearest") if self.doubles else skip)


class BigGANDeep(GAN):
    """G: z (N, 128) and classes (N,) or class weights (N, 1000) to images (N, 3, S, S) in (-1, 1)."""

    embeddings: Tensor

    def __init__(self, content: Converted, config: BigGANDeepConfig, options: LoadOptions) -> None:
        super().__init__(content, options, latent_dim=config.z_dim, image_size=config.image_size)
        # The scale of the prior, checked to be in (0, 1], is the truncation.
        truncation = self.prior.scale
        self.settings = {**self.settings, "truncation": truncation}
        self.config, self.dtype = config, compute_type(options)
        self.condition_kind, self.conditions = "class", config.num_classes
        channels_last = options.memory_format == "channels_last"
        weights = StoredVectorWeights(content.tensors, dtype=self.dtype, channels_last=channels_last)
        self.register_buffer("embeddings", weights.small("embeddings.weight").t().contiguous())
        self.gen_z = weights.linear("generator.gen_z")
        position = config.attention_layer_position
        layers: dict[int, nn.Module] = {
            at: DeepBlock(
                weights, f"generator.layers.{at}", doubles=doubles, out=out, eps=config.eps, truncation=truncation
            )
            for at, (doubles, _, out) in config.blocks().items()
        }
        name = f"generator.layers.{position}"
        convs = {key: f"{name}.snconv1x1_{key}" for key in ("theta", "phi", "g")}
        layers[position] = SelfAttention(weights, gamma=f"{name}.gamma", o=f"{name}.snconv1x1_o_conv", **convs)
        self.layers = nn.ModuleList(layers[at] for at in sorted(layers))
        last = {
            key: weights.tensors[f"generator.bn.{key}"] for key in ("weight", "bias", "running_means", "running_vars")
        }
        self.output_norm = AffineNorm(
            last["weight"],
            last["bias"],
            statistics_at(last["running_means"], truncation),
            statistics_at(last["running_vars"], truncation),
            eps=config.eps,
            dtype=weights.exact,
        )
        # The layer has as many outputs as inputs; the first three are the image.
        self.output_conv = weights.conv("generator.conv_to_rgb", outputs=self.channels)
        self.eval()

    def sample_condition(self, indices: philox.Rows, seed: int) -> Tensor:
        """Classes (N,), drawn by `condition_rule`; row k is a function of (seed, indices[k])."""
        return self.condition_rule.draw(indices, self.config.num_classes, seed=seed, device=self.embeddings.device)

    def describe_condition(self, condition: Tensor) -> list[dict[str, Any]]:
        """The class entry in the metadata of a pair."""
        if condition.is_floating_point():
            return [{"class_weights": [round(weight, 6) for weight in row]} for row in condition.tolist()]
        return [{"class": row} for row in condition.tolist()]

    def embed(self, condition: Tensor | None) -> Tensor:
        """Class embeddings (N, E) of classes (N,) or of class weights (N, 1000).

        Raises:
            UsageError: no condition, a class out of range, or weights of another shape.
        """
        condition = check_rows(condition, self.config.num_classes, name=self.name, kind="class", vector="class weights")
        if condition.is_floating_point():
            return condition.to(self.exact) @ self.embeddings
        return self.embeddings[condition]

    def segments(self) -> list[nn.Module]:
        return list(self.layers)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        z = self.check_latent(z)
        c = torch.cat((z, self.embed(condition)), dim=1)
        # The checkpoint is channels-last here, unlike BigGAN's.
        x = self.gen_z(c.to(self.dtype)).view(z.shape[0], BOTTOM, BOTTOM, -1).permute(0, 3, 1, 2)
        for layer in self.layers:
            x = layer(x) if isinstance(layer, SelfAttention) else layer(x, c)
        x = self.output_conv(F.relu(self.output_norm(x)))
        return torch.tanh(x.to(self.exact))
