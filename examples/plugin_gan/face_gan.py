"""The generator of the PyPI package gan-face-generate as a plug-in of copgen: a DCGAN of 64x64 faces."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import torch
from gan_face_generate.models import Generator
from torch import Tensor, nn

PACKAGE = "gan_face_generate"
FILE = "weights.tar"  # a file of torch.save, in spite of its name
STATE = "netG_state_dict"


class FaceGAN(nn.Module):
    """z (N, 100), standard normal, to images (N, 3, 64, 64) in [-1, 1]."""

    latent_dim, image_size, channels = 100, 64, 3

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.network = Generator(ngpu=1, nc=self.channels, nz=self.latent_dim, ngf=64)
        self.network.load_state_dict(state)

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.network(z[:, :, None, None])
        return images


def make(weights: Path | None = None) -> FaceGAN:
    """The generator with the weights of the package, or with those of a file that its training script wrote."""
    with as_file(files(PACKAGE) / FILE) as own:
        saved = torch.load(weights or own, map_location="cpu", weights_only=True)
    return FaceGAN(saved[STATE])
