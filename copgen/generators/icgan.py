"""IC-GAN (Casanova et al. 2021) on the BigGAN backbone: ImageNet at 128x128, conditioned on an instance's features.

The condition is a SwAV ResNet-50 feature vector of length 1: that of one of the 1,000 stored instances, given by its
index, or any other. Both images of a pair share it, so T_z moves z inside that instance's sub-space (appendix C.5).

Prior: z is a standard normal; `truncation=t` draws t * (standard normal within +-2) instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from copgen.generators import biggan
from copgen.generators.biggan import BigGAN, BigGANConfig
from copgen.generators.conditions import check_rows
from copgen.generators.folded_weights import PowerStepWeights
from copgen.generators.gan import GAN, compute_type
from copgen.generators.load_options import LoadOptions
from copgen.generators.state_dict_layout import dimensions, tensors_of
from copgen.generators.weights_files import (
    Converted,
    Family,
    Sources,
    is_converted,
    provenance,
    read_state,
    single_file,
)
from copgen.latents.prior import Prior
from copgen.runtime import philox
from copgen.runtime.errors import DataError, UsageError
from copgen.storage.files import sha256_of
from copgen.storage.foreign import ForeignArray

NAME = "icgan-128"
IMAGE_SIZE = 128
LICENCE = "CC BY-NC 4.0, non-commercial"
INSTANCES = "instances.features"
UNIT = 1e-2  # tolerance of a feature's length, which is 1
# From the published configuration, for weights without their state file.
NORM_EPS, SPECTRAL_EPS = 1e-5, 1e-6


class ICGANConfig(BigGANConfig):
    """The widths of BigGAN and of the features."""

    features: int = Field(ge=1, description="width of a feature vector")
    class_width: int = Field(ge=1, description="width of the class table in the file, unused")
    instances: int = Field(default=0, ge=0, description="stored instances; 0: none in the file")


def _shapes(config: ICGANConfig) -> dict[str, tuple[int, ...]]:
    feature = {
        "shared_feat.weight": (config.shared, config.features),
        "shared_feat.bias": (config.shared,),
        "shared_feat.u0": (1, config.shared),
    }
    stored = {INSTANCES: (config.instances, config.features)} if config.instances else {}
    return {**biggan.shapes(config, class_width=config.class_width), **feature, **stored}


FAMILY = Family("IC-GAN", ICGANConfig, _shapes)


def _state_file(weights: Path) -> Path:
    return weights.with_name(weights.name.replace("G_ema", "state_dict"))


def _state(weights: Path) -> Mapping[str, Any]:
    """The state file in the folder of the weights, with their configuration and best FID; empty if missing."""
    path = _state_file(weights)
    if path == weights or not path.exists():
        return {}
    state = read_state(path)
    if not isinstance(state, Mapping) or not isinstance(state.get("config"), Mapping):
        raise DataError(f"{path} has no 'config'; it is not the state file of an IC-GAN.")
    return state


def _best(folder: Path) -> Path:
    """The weights in a folder whose state file records the lowest FID, as the authors' code picks them."""
    several = sorted(folder.glob("G_ema_best*.pth"))
    if len(several) < 2:
        return single_file(folder, "G_ema_best*.pth", "G_ema*.pth", what="IC-GAN generator")
    return min(several, key=lambda path: float(_state(path).get("best_FID", math.inf)))


def _epsilon(config: Mapping[str, Any], key: str, default: float, *, path: Path) -> float:
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise DataError(f"{path}: config.{key} is {value!r}; expected a small positive number.")
    return float(value)


def read_instances(path: Path) -> Tensor:
    """Stored instance features (K, D), float32, each of length 1.

    Raises:
        DataError: missing, without `instance_features`, of another rank, or not finite.
    """
    content = read_state(path)
    features = content.get("instance_features") if isinstance(content, Mapping) else None
    values = features.values if isinstance(features, ForeignArray) else features
    if isinstance(values, np.ndarray):
        values = torch.tensor(values)  # a copy: the array that was read is read-only
    if not isinstance(values, Tensor) or not values.is_floating_point():
        raise DataError(f"{path} has no array 'instance_features'; it is not a file of stored instances.")
    table = values.float()
    if table.dim() != 2 or 0 in table.shape or not bool(torch.isfinite(table).all()):
        raise DataError(
            f"{path}: 'instance_features' has shape {tuple(table.shape)}; expected (K, D) with finite values."
        )
    lengths = table.norm(dim=1)
    if bool((lengths == 0).any()):
        raise DataError(f"{path}: instance {int((lengths == 0).nonzero()[0])} has features of length 0.")
    # The published features have length 1 already; these stay bit for bit the same.
    return table if float((lengths - 1.0).abs().max()) < 1e-4 else F.normalize(table, dim=1)


def _stored_beside(weights: Path) -> Path | None:
    """The file of stored instances at its place in the authors' archives, or None."""
    places = [
        folder / below for folder in (weights.parent, weights.parent.parent) for below in (".", "stored_instances")
    ]
    found = (file for place in places for file in sorted(place.glob("*res128*instance_features.npy")))
    return next(found, None)


def _with_instances(tensors: dict[str, Tensor], config: ICGANConfig, path: Path) -> ICGANConfig:
    """Add stored instances to the tensors; returns the configuration with them."""
    stored = read_instances(path)
    if stored.shape[1] != config.features:
        raise DataError(f"{path} has features of width {stored.shape[1]}; the generator takes {config.features}.")
    tensors[INSTANCES] = stored
    return config.model_copy(update={"instances": stored.shape[0]})


def convert(sources: Sources) -> Converted:
    """The checked content of the folder `icgan_biggan_imagenet_res128`, with the stored instances if they are found.

    Raises:
        DataError: missing, truncated, of another family or resolution, or with unexpected tensors.
    """
    path = _best(sources.weights) if sources.weights.is_dir() else sources.weights
    tensors = tensors_of(read_state(path), path=path, family=FAMILY.name, mark="shared_feat.weight")
    state = _state(path)
    given: Mapping[str, Any] = state.get("config", {})
    shared, features = dimensions(tensors, "shared_feat.weight", 2, path=path)
    found = biggan.read_config(
        tensors,
        shared=shared,
        norm_eps=_epsilon(given, "BN_eps", NORM_EPS, path=_state_file(path)),
        spectral_eps=_epsilon(given, "SN_eps", SPECTRAL_EPS, path=_state_file(path)),
        path=path,
    )
    for key, here in (("resolution", found.image_size), ("dim_z", found.latent_dim), ("class_cond", False)):
        if given.get(key, here) != here:
            raise DataError(
                f"{_state_file(path)}: config.{key} is {given[key]!r}; the weights {path.name} have {here}."
            )
    if found.image_size != IMAGE_SIZE:
        raise DataError(
            f"{path} generates images of {found.image_size}x{found.image_size} pixels ({found.blocks} blocks); "
            f"'{NAME}' generates {IMAGE_SIZE}x{IMAGE_SIZE}."
        )
    class_width = dimensions(tensors, "shared.weight", 2, path=path)[1]
    config = ICGANConfig(**found.model_dump(), features=features, class_width=class_width)
    files = [path, *([_state_file(path)] if state else [])]
    instances = sources.instances or _stored_beside(path)
    if instances is not None:
        config = _with_instances(tensors, config, instances)
        files.append(instances)
    header = provenance(files, name=NAME, prior=Prior(), licence=LICENCE)
    header["instances_sha256"] = header["sources"][instances.name] if instances is not None else None
    ignored = biggan.singular_value_logs(tensors)
    return FAMILY.converted(tensors, config, path=path, ignored=ignored, header=header)


def load(sources: Sources, options: LoadOptions) -> ICGAN:
    """The generator in a published folder or a converted file; `sources.instances` replaces the instances in it.

    Raises:
        DataError: as `convert`, and for a converted file that does not verify.
        UsageError: an option that it does not support.
    """
    options.refuse(NAME, inverse=options.inverse, parameters=sources.parameters)
    content, config = FAMILY.open(sources, convert, name=NAME)
    if sources.instances is not None and is_converted(sources.weights):
        config = _with_instances(content.tensors, config, sources.instances)
        content.header["instances_sha256"] = sha256_of(sources.instances)
    return ICGAN(content, config, options)


class ICGAN(GAN):
    """G: z (N, 120) and instances (N,) or features (N, 2048) to images (N, 3, 128, 128) in (-1, 1)."""

    instances: Tensor
    feature_weight: Tensor
    feature_bias: Tensor

    def __init__(self, content: Converted, config: ICGANConfig, options: LoadOptions) -> None:
        super().__init__(content, options, latent_dim=config.latent_dim, image_size=config.image_size)
        self.config, self.conditions = config, config.instances
        self.settings = {**self.settings, "instances_sha256": content.header.get("instances_sha256")}
        self.latent_blocks = (config.chunk,) * (config.blocks + 1)
        self.condition_kind, self.conditions = "instance", config.instances
        channels_last = options.memory_format == "channels_last"
        weights = PowerStepWeights(
            content.tensors, eps=config.spectral_eps, dtype=compute_type(options), channels_last=channels_last
        )
        self.network = BigGAN(weights, config)
        self.register_buffer("feature_weight", weights.matrix("shared_feat").to(self.exact))
        self.register_buffer("feature_bias", weights.small("shared_feat.bias"))
        stored = content.tensors.get(INSTANCES, torch.empty(0, config.features))
        self.register_buffer("instances", stored.to(self.exact, copy=True))
        self.eval()

    def sample_condition(self, indices: philox.Rows, seed: int) -> Tensor:
        """Instances (N,), drawn by `condition_rule`; row k is a function of (seed, indices[k]).

        Raises:
            UsageError: it was loaded without stored instances.
        """
        if not self.config.instances:
            raise UsageError(
                f"'{self.name}' was loaded without stored instances, so it has no conditions to draw.",
                fix="Pass the .npy file with --instances, or put it beside the weights and import them again.",
            )
        return self.condition_rule.draw(indices, self.config.instances, seed=seed, device=self.instances.device)

    def describe_condition(self, condition: Tensor) -> list[dict[str, Any]]:
        """The instance entry in the metadata of a pair."""
        if condition.is_floating_point():
            return [{"features": [round(value, 6) for value in row]} for row in condition.tolist()]
        return [{"instance": row} for row in condition.tolist()]

    def features_of(self, condition: Tensor | None) -> Tensor:
        """Features (N, D) of instances (N,), or the features themselves.

        Raises:
            UsageError: no condition, an instance out of range, another shape, or features not of length 1.
        """
        condition = check_rows(
            condition,
            self.config.instances,
            name=self.name,
            kind="instance",
            vector="features",
            width=self.config.features,
        )
        if not condition.is_floating_point():
            return self.instances[condition]
        if not torch.compiler.is_compiling():
            lengths = condition.detach().norm(dim=1)
            off = (lengths - 1.0).abs() > UNIT
            if bool(off.any()):
                raise UsageError(
                    f"Features of '{self.name}' must have length 1; one has {float(lengths[off][0]):.3g}.",
                    fix="Divide each row by its Euclidean norm.",
                )
        return condition.to(self.exact)

    def segments(self) -> list[nn.Module]:
        return list(self.network.blocks)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        z = self.check_latent(z)
        y = F.linear(self.features_of(condition), self.feature_weight, self.feature_bias)
        images: Tensor = self.network(z, y)
        return images
