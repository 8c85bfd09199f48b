"""A trained encoder: a frozen backbone together with its input convention, and the file that holds both.

The file is `encoder.safetensors`: the backbone's tensors under torchvision's names, and a header with the
`EncoderConfig` and how the encoder was made. It does not contain the projector.

Legend: N images, x (N, C, H, W) in [-1, 1], features (N, feature_dim).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from copgen import views
from copgen.encoders.resnet import ResNet, build
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.path_errors import path_errors
from copgen.storage.tensors import load_into, load_tensors, save_tensors

FILE_NAME = "encoder.safetensors"
KIND = "encoder"
FOREIGN = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".torch")  # how other programs call theirs


class EncoderConfig(BaseModel):
    """What is needed to rebuild a backbone and to prepare its input as in training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arch: str = Field(description="name of the backbone, such as 'resnet50'")
    in_channels: int = Field(ge=1, description="channels of the images")
    image_size: int = Field(ge=1, description="side of the training images, pixels")
    views: str = Field(description="view policy in training, which decides the normalisation: 'mnist', 'simclr'")
    stem: Literal["imagenet", "small"] | None = Field(default=None, description="replaces the backbone's stem")

    def build(self) -> ResNet:
        """A new backbone of this shape."""
        return build(self.arch, self.in_channels, stem=self.stem)


class Encoder(nn.Module):
    """x in [-1, 1] -> features; frozen, always in evaluation mode, differentiable in x.

    Args:
        backbone: the network; it is frozen in place.
        config: its shape and input convention.
        made_by: how it was made, as in the file's header.
    """

    def __init__(self, backbone: ResNet, config: EncoderConfig, made_by: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.made_by = dict(made_by or {})
        self.eval().requires_grad_(False)

    @property
    def feature_dim(self) -> int:
        """Length of a feature vector."""
        return self.backbone.feature_dim

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode; train its `backbone` to fine-tune."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, feature_dim) of images (N, C, H, W), floating, in [-1, 1]; errors as `normalised`."""
        features: Tensor = self.backbone(self.normalised(images))
        return features

    def normalised(self, images: Tensor) -> Tensor:
        """What the backbone gets of images (N, C, H, W), floating, in [-1, 1].

        Raises:
            UsageError: wrong number of dimensions or channels, or an integer dtype.
        """
        if images.dim() != 4 or images.shape[1] != self.config.in_channels or not images.is_floating_point():
            raise UsageError(
                f"The encoder got {images.dtype} images of shape {tuple(images.shape)}.",
                fix=f"Expected (N, {self.config.in_channels}, H, W), floating point, in [-1, 1].",
            )
        return views.plain(images, views.policy(self.config.views))


def encoder_file(folder_or_path: Path | str) -> Path:
    """The encoder's file: the path itself if it is one or is called like one, else `encoder.safetensors` below it."""
    path = Path(folder_or_path)
    named = path.suffix == ".safetensors" or (path.suffix in FOREIGN and not path.is_dir())
    return path if named or path.is_file() else path / FILE_NAME


def save_encoder(
    folder_or_path: Path | str, backbone: ResNet, config: EncoderConfig, made_by: Mapping[str, Any]
) -> Path:
    """Write an encoder atomically, and return its file.

    Args:
        folder_or_path: a run folder, or a path that ends in .safetensors.
        backbone: the network, without projector, of the shape that `config` says.
        config: its shape and input convention.
        made_by: JSON-able: stage, settings, seed, version, ...
    """
    path = encoder_file(folder_or_path)
    header = {"config": config.model_dump(mode="json"), "made_by": dict(made_by)}
    save_tensors(path, backbone.state_dict(), kind=KIND, header=header)
    return path


@path_errors()
def load_encoder(folder_or_path: Path | str) -> Encoder:
    """Load an encoder of copgen from a run folder or its file onto the CPU; does not touch torch's random state.

    Raises:
        DataError: the file is missing, truncated, not copgen's, of another kind or shape, or has non-finite values.
    """
    path = encoder_file(folder_or_path)
    tensors, header = load_tensors(path, kind=KIND)
    try:
        config = EncoderConfig.model_validate(header.get("config"))
        with torch.device("meta"):
            backbone = config.build()
        views.policy(config.views)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "config"
        raise DataError(f"{path}: the header does not describe an encoder ({field}: {first['msg']}).") from None
    except UsageError as error:
        raise DataError(f"{path}: {error.what}", fix=error.fix) from None
    backbone = backbone.to_empty(device="cpu")
    load_into(backbone, tensors, path=path)
    return Encoder(backbone, config, header.get("made_by"))
