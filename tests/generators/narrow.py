"""Narrow networks with random weights, in files laid out as the published ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from copgen.generators import biggan, biggan_deep
from copgen.generators.biggan import BigGANConfig
from copgen.generators.biggan_deep import BigGANDeepConfig
from copgen.generators.residual_flow.config import FlowConfig
from copgen.generators.residual_flow.model import ResidualFlow

WIDTH = 4
CLASSES, INSTANCES, FEATURES = 10, 7, 24
LAYERS = [(0, 16, 16), (1, 16, 16), (0, 16, 16), (1, 16, 8), (0, 8, 8), (1, 8, 4), (0, 4, 4), (1, 4, 2), (0, 2, 2)]
NAMES = ("bigbigan", "biggan-deep-128", "icgan-128", "residual-flow-mnist")


def draws(shapes: Mapping[str, tuple[int, ...]], *, seed: int) -> dict[str, Tensor]:
    """Random tensors of these names and shapes: variances positive, layers of a size that keeps signals alive."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=draw)
        if name.endswith(("stored_var", "running_vars")):
            value = value.abs() + 0.5
        elif name.endswith("gamma"):
            value = torch.full(shape, 0.7)
        found[name] = value
    return found


def with_vectors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Stored singular vectors after two power steps: sigma from random ones can be anything, zero too."""
    for name in [name.removesuffix("_orig") for name in tensors if name.endswith("weight_orig")]:
        matrix = tensors[f"{name}_orig"].flatten(1)
        u = tensors[f"{name}_u"]
        for _ in range(2):
            v = nn.functional.normalize(u @ matrix, dim=0)
            u = nn.functional.normalize(matrix @ v, dim=0)
        tensors[f"{name}_u"], tensors[f"{name}_v"] = u, v
    return tensors


def with_logs(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The singular values that the published files log."""
    logs = {name.removesuffix("u0") + "sv0": torch.ones(1) for name in tensors if name.endswith(".u0")}
    return {**tensors, **logs}


def biggan_config(*, shared: int = 6, blocks: int = 5, norm_eps: float = 1e-4) -> BigGANConfig:
    channels = tuple(WIDTH * unit for unit in (16, 16, 8, 4, 2, 1))[-blocks - 1 :]
    return BigGANConfig(
        channels=channels,
        chunk=5,
        shared=shared,
        classes=CLASSES,
        attention=blocks - 2,
        norm_eps=norm_eps,
        spectral_eps=1e-4,
    )


def bigbigan_state(*, seed: int = 0, blocks: int = 5) -> dict[str, Tensor]:
    """BigBiGAN's tensors: the rows of its class table are copies of one vector."""
    tensors = draws(biggan.shapes(biggan_config(blocks=blocks), class_width=6), seed=seed)
    tensors["shared.weight"] = tensors["shared.weight"][:1].repeat(CLASSES, 1)
    return with_logs(tensors)


def bigbigan(folder: Path, *, seed: int = 0, blocks: int = 5) -> Path:
    path = folder / "BigBiGAN_x1.pth"
    torch.save(bigbigan_state(seed=seed, blocks=blocks), path)
    return path


def biggan_deep_128(folder: Path, *, seed: int = 0) -> Path:
    config = {
        "output_dim": 128,
        "z_dim": 6,
        "class_embed_dim": 5,
        "channel_width": WIDTH,
        "num_classes": CLASSES,
        "layers": [*([bool(doubles), into, out] for doubles, into, out in LAYERS), [True, 2, 1]],
        "attention_layer_position": 8,
        "eps": 1e-4,
        "n_stats": 5,
    }
    shapes = biggan_deep.shapes(BigGANDeepConfig.model_validate(config))
    path = folder / "biggan-deep-128-pytorch_model.bin"
    torch.save(with_vectors(draws(shapes, seed=seed)), path)
    (folder / "biggan-deep-128-config.json").write_text(json.dumps(config))
    return path


def unit_rows(rows: int, *, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return nn.functional.normalize(torch.randn(rows, FEATURES, generator=draw), dim=1)


def icgan_128(folder: Path, *, seed: int = 0, best: int = 0, fid: float = 11.0, **config: Any) -> Path:
    below = folder / "icgan_biggan_imagenet_res128"
    below.mkdir(exist_ok=True)
    feature = {"shared_feat.weight": (8, FEATURES), "shared_feat.bias": (8,), "shared_feat.u0": (1, 8)}
    shapes = {**biggan.shapes(biggan_config(shared=8), class_width=6), **feature}
    torch.save(with_logs(draws(shapes, seed=seed)), below / f"G_ema_best{best}.pth")
    known = {"resolution": 128, "dim_z": 30, "BN_eps": 1e-5, "SN_eps": 1e-6, "class_cond": False, "act": nn.ReLU()}
    torch.save({"best_FID": fid, "config": {**known, **config}}, below / f"state_dict_best{best}.pth")
    return below


def stored_instances(folder: Path, features: Tensor) -> Path:
    (folder / "stored_instances").mkdir(exist_ok=True)
    path = folder / "stored_instances" / "imagenet_res128_rn50_kmeans_instance_features.npy"
    content = {"instance_features": features.numpy(), "labels": np.arange(len(features)), "image_path": ["x.jpg"]}
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


class ExponentialMovingAverage:
    """Stands for the helper of the published code, of which only the shadow parameters matter."""

    def __init__(self, shadow_params: dict[str, Tensor]) -> None:
        self.shadow_params = shadow_params


class Arguments:
    """Stands for the namespace of the published training script."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


FLOW = FlowConfig(channels=1, image_size=28, blocks=(1, 1, 1), width=4, linear_blocks=1, linear_width=8)


def published_name(name: str, flow: FlowConfig) -> str:
    """The published name of one of our tensors."""
    parts = name.split(".")
    place = int(parts[3])
    if parts[1] == "2" and place > 2 * flow.blocks[2]:
        parts[3] = str(place - 1)
        below = parts[4:]
        parts[4:] = ["nnet", "nnet", *below[1:]] if below[0] == "nnet" else ["fc_module", *below]
    return ".".join(parts)


def residual_flow_mnist(folder: Path, *, seed: int = 0, **args: Any) -> Path:
    torch.manual_seed(seed)
    flow = ResidualFlow(FLOW)
    flow.power_iterate(5)
    state = {published_name(name, FLOW): tensor for name, tensor in flow.state_dict().items()}
    for name in [name for name in state if name.endswith(".u")]:
        state[name.removesuffix("u") + "scale"] = torch.tensor(1.0)
    for name in {name.split(".nnet")[0] for name in state if ".nnet" in name}:
        state[f"{name}.geom_p"], state[f"{name}.lamb"] = torch.tensor(0.0, dtype=torch.float64), torch.tensor(0.0)
    learned = {name: tensor for name, tensor in state.items() if name.endswith((".weight", ".bias", ".beta"))}
    shadow = {name: tensor * 1.05 for name, tensor in learned.items()}
    path = folder / "mnist_resflow_16-16-16.pth"
    content = {
        "state_dict": state,
        "ema": ExponentialMovingAverage(shadow),
        "args": Arguments(coeff=0.98, act="swish", **args),
        "test_bpd": 0.97,
    }
    torch.save(content, path)
    return path


def published(name: str, folder: Path, *, seed: int = 0) -> Path:
    """The narrow network's published file (a folder for IC-GAN, with its instances beside)."""
    if name == "icgan-128":
        stored_instances(folder, unit_rows(INSTANCES))
        return icgan_128(folder, seed=seed)
    make = {"bigbigan": bigbigan, "biggan-deep-128": biggan_deep_128, "residual-flow-mnist": residual_flow_mnist}
    return make[name](folder, seed=seed)
