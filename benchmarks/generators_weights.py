"""Full-width generators with random weights in the published layouts: speed does not depend on what was learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import generators_reference as reference
from copgen.generators import bigbigan as bigbigan_family
from copgen.generators import biggan_deep, icgan, registry
from copgen.generators.biggan import BigGANConfig
from copgen.generators.biggan_deep import BigGANDeepConfig
from copgen.generators.icgan import ICGANConfig
from copgen.generators.protocol import Generator
from copgen.generators.residual_flow import FlowConfig, ResidualFlow
from copgen.generators.residual_flow.generator import save_flow
from copgen.generators.weights_files import Sources
from copgen.latents.prior import Prior
from copgen.storage.tensors import save_tensors

# Base widths 96, 128 and 512, as published; `narrow` divides them for toy runs.
NAMES = ("bigbigan", "biggan-deep-128", "icgan-128", "residual-flow-mnist")
Call = Callable[[], object]
_UNITS = (16, 16, 8, 4, 2, 1)
_LAYERS = "F16-16 T16-16 F16-16 T16-8 F8-8 T8-4 F4-4 T4-2 F2-2 T2-1"


def _random(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    found = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=draw)
        found[name] = value.abs() + 0.5 if name.endswith(("_var", "_vars")) else value
    for name in [name for name in found if name.endswith("weight_orig")]:
        matrix, stem = found[name].flatten(1), name.removesuffix("_orig")
        found[f"{stem}_v"] = F.normalize(found[f"{stem}_u"] @ matrix, dim=0)
        found[f"{stem}_u"] = F.normalize(matrix @ found[f"{stem}_v"], dim=0)
    return found


def _described(name: str, narrow: int) -> tuple[Any, BigGANConfig | BigGANDeepConfig]:
    if name == "biggan-deep-128":
        layers = [(layer[0] == "T", *map(int, layer[1:].split("-"))) for layer in _LAYERS.split()]
        values = {"output_dim": 128, "z_dim": 128, "class_embed_dim": 128, "channel_width": 128 // narrow}
        rest = {"num_classes": 1000, "layers": layers, "attention_layer_position": 8, "eps": 1e-4, "n_stats": 51}
        return biggan_deep.FAMILY, BigGANDeepConfig.model_validate({**values, **rest})
    common: dict[str, Any] = {
        "channels": tuple(96 // narrow * unit for unit in _UNITS),
        "chunk": 20,
        "classes": 1000,
        "attention": 3,
    }
    if name == "bigbigan":
        return bigbigan_family.FAMILY, BigGANConfig(**common, shared=128, norm_eps=1e-4, spectral_eps=1e-4)
    own = {"shared": 512, "norm_eps": 1e-5, "spectral_eps": 1e-6, "features": 2048, "class_width": 128, "instances": 9}
    return icgan.FAMILY, ICGANConfig(**common, **own)


def write(name: str, folder: Path, *, narrow: int = 1) -> Path:
    """An imported weights file of that generator, with random weights."""
    path = folder / f"{name}.safetensors"
    if name == "residual-flow-mnist":
        torch.manual_seed(0)
        flow = ResidualFlow(FlowConfig(image_size=28, blocks=(16 // narrow,) * 3, width=512 // narrow))
        flow.power_iterate(2)
        save_flow(path, flow, prior=Prior(), made_by={})
        return path
    family, config = _described(name, narrow)
    header = {
        "family": family.name,
        "name": name,
        "config": config.model_dump(mode="json"),
        "prior": Prior().model_dump(mode="json"),
        "sources": {},
        "source_sha256": "0" * 64,
        "licence": "none: random numbers",
    }
    tensors = _random(family.shapes(config))
    if name == "bigbigan":  # which has no classes: all rows of its class table are one vector
        tensors["shared.weight"] = tensors["shared.weight"][:1].expand_as(tensors["shared.weight"]).clone()
    save_tensors(path, tensors, kind="generator", header=header)
    return path


def load(name: str, path: Path, **options: Any) -> Generator:
    """The generator in such a file."""
    return registry.load("digits" if name == "residual-flow-mnist" else name, weights=path, **options)


def inputs(G: Generator, batch: int) -> tuple[Tensor, Tensor | None]:
    """z and condition of a batch."""
    return G.sample_prior(range(batch), 0), G.sample_condition(range(batch), 0)


def published(name: str, path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors of such a file under their published names, and their configuration."""
    family, _ = _described(name, 1)
    convert = registry.entry(name).convert
    assert convert is not None
    content, config = family.open(Sources(path), convert, name=name)
    return content.tensors, config


def reference_call(name: str, path: Path, G: Generator, batch: int) -> Call:
    """The same forward with spectral norm recomputed, as in the reference networks."""
    z, condition = inputs(G, batch)
    if name == "residual-flow-mnist":
        images = reference.flow(G)
        return lambda: images(z)
    tensors, config = published(name, path)
    if name == "biggan-deep-128":
        assert condition is not None
        return lambda: reference.biggan_deep(tensors, config, z, condition)
    if name == "bigbigan":
        y = tensors["shared.weight"][:1].expand(batch, -1)
        return lambda: reference.biggan(tensors, config, z, y)
    features = tensors["instances.features"][condition]

    def instance_conditional() -> Tensor:
        w, u = tensors["shared_feat.weight"], tensors["shared_feat.u0"]
        y = F.linear(features, w / reference.sigma(w, u, config.spectral_eps), tensors["shared_feat.bias"])
        return reference.biggan(tensors, config, z, y)

    return instance_conditional
