"""Published checkpoints in small: the layout of the public files, with two channels and random weights."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from copgen.generators import bigbigan, icgan
from copgen.generators.biggan import BigGANConfig
from copgen.generators.icgan import INSTANCES, ICGANConfig
from copgen.generators.state_dict_layout import Shapes
from tests.storage.foreign.files import save

WIDTHS = {"channels": (2, 8, 2, 2, 2, 2), "chunk": 20, "shared": 4, "classes": 3, "attention": 0}
EPSILONS = {"norm_eps": 1e-4, "spectral_eps": 1e-4}


def state(shapes: Shapes, *, seed: int) -> dict[str, Tensor]:
    """Random tensors; variances are positive, as they are in a checkpoint."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: 0.5 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: value.abs() + 0.5 if "stored_var" in name else value for name, value in drawn.items()}


def write_bigbigan(path: Path, *, layout: str = "legacy", seed: int = 0) -> dict[str, Tensor]:
    """`BigBiGAN_x1.pth` in small; it was serialised before torch 1.6."""
    config = BigGANConfig.model_validate({**WIDTHS, **EPSILONS})
    tensors = state(bigbigan.FAMILY.shapes(config), seed=seed)
    tensors["shared.weight"] = tensors["shared.weight"][:1].repeat(config.classes, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(tensors, path, layout)
    return tensors


def write_icgan(folder: Path) -> tuple[Path, Path]:
    """The folder of an IC-GAN and its stored instances, each as the authors' archive holds it."""
    config = ICGANConfig.model_validate({**WIDTHS, **EPSILONS, "features": 6, "class_width": 5})
    weights = folder / "icgan_biggan_imagenet_res128"
    weights.mkdir(parents=True)
    save(state(icgan.FAMILY.shapes(config), seed=0), weights / "G_ema_best0.pth", "zip")
    settings: dict[str, Any] = {"resolution": 128, "dim_z": 120, "class_cond": False, "BN_eps": 1e-5, "SN_eps": 1e-6}
    save(
        {"config": {**settings, "G_activation": torch.nn.ReLU()}, "best_FID": 9.0},
        weights / "state_dict_best0.pth",
        "zip",
    )
    features = np.random.default_rng(0).normal(size=(7, 6))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    instances = folder / "stored_instances" / icgan_instances()
    instances.parent.mkdir()
    np.save(instances, np.array({"instance_features": features, "labels": np.arange(7)}, dtype=object))
    return weights, instances


def icgan_instances() -> str:
    """The published name of the stored instances."""
    return "imagenet_res128_rn50_selfsupervised_kmeans_k1000_instance_features.npy"


def pack(path: Path, folder: Path, inside: str) -> bytes:
    """A .tar.gz of something in a folder."""
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder / inside, arcname=inside)
    return path.read_bytes()


__all__ = ["INSTANCES", "icgan_instances", "pack", "write_bigbigan", "write_icgan"]
