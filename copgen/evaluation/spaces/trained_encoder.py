"""The spaces 'encoder:PATH': the features of an encoder, copgen's or another program's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from copgen import encoders
from copgen.encoders import Encoder
from copgen.encoders.encoder import encoder_file
from copgen.evaluation.spaces.space import BLOCK, prepared
from copgen.runtime.errors import DataError
from copgen.runtime.events import Events
from copgen.storage.files import sha256_of


@dataclass(frozen=True)
class EncoderSpace:
    """The features of an encoder, for images of the size and channels that it was trained on."""

    name: str
    encoder: Encoder
    device: torch.device
    inputs: dict[str, str]

    @property
    def text(self) -> str:
        """Its architecture and the size of its images."""
        config = self.encoder.config
        return f"{config.arch} of {self.name.partition(':')[2]}, images of {config.image_size} pixels"

    @property
    def dim(self) -> int:
        """Of the features."""
        return self.encoder.feature_dim

    def __call__(self, images: Tensor) -> Tensor:
        """(N, dim), differentiable; the encoder is frozen."""
        config, found = self.encoder.config, []
        for block in torch.split(images.to(self.device, torch.float32), BLOCK):
            ready = prepared(block, size=config.image_size, channels=config.in_channels)
            found.append(self.encoder(ready).float())
        return torch.cat(found)


def open_encoder(name: str, path: str, *, device: torch.device, events: Events) -> EncoderSpace:
    """The space of an encoder file or of a run folder that holds one.

    Raises:
        DataError: there is none, it fails verification, or it takes neither one nor three channels.
    """
    file = encoder_file(Path(path))
    encoder = encoders.load(path, events=events).to(device)
    if encoder.config.in_channels not in (1, 3):
        raise DataError(
            f"{file} is an encoder of images with {encoder.config.in_channels} channels.",
            fix="A feature space needs one of grey or RGB images.",
        )
    return EncoderSpace(name, encoder, device, {file.name: sha256_of(file)})
