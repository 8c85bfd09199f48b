"""A small GAN as a generator, with its file format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from copgen.generators.load_options import LoadOptions
from copgen.generators.protocol import Generator
from copgen.generators.small_gan.config import GanConfig
from copgen.generators.small_gan.networks import GeneratorNetwork
from copgen.generators.weights_files import Sources
from copgen.latents.prior import Prior
from copgen.runtime.errors import DataError, UsageError
from copgen.storage.files import sha256_of
from copgen.storage.tensors import load_into, load_tensors, save_tensors

FAMILY, NAME = "small-gan", "gan"


class ImageShape(BaseModel):
    """The images of a generator, as in the header of its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Literal[1, 3]
    size: int = Field(ge=8, le=1024)


class SmallGan(Generator):
    """G of a small GAN, in evaluation mode."""

    def __init__(
        self,
        network: GeneratorNetwork,
        *,
        prior: Prior,
        options: LoadOptions | None = None,
        weights_sha256: str = "",
        made_by: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        options = options or LoadOptions()
        self.name, self.prior = NAME, prior
        self.latent_dim = network.config.latent_dim
        self.image_size, self.channels = network.image_size, network.channels
        self.weights_sha256, self.made_by = weights_sha256, dict(made_by or {})
        self.settings = {"precision": options.precision, "memory_format": options.memory_format}
        self.precision = options.precision
        layout = torch.channels_last if options.memory_format == "channels_last" else torch.contiguous_format
        self.network = network.to(memory_format=layout)
        if self.precision == "float64":
            self.network = self.network.double()
        self.requires_grad_(False)
        self.eval()

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:
            raise UsageError(f"'{self.name}' is unconditional, but a condition was given.")
        if z.dim() != 2 or z.shape[1] != self.latent_dim:
            raise UsageError(f"z has shape {tuple(z.shape)}; '{self.name}' takes (N, {self.latent_dim}).")
        z = z.to(torch.float64 if self.precision == "float64" else torch.float32)
        with torch.autocast(z.device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16"):
            images: Tensor = self.network(z)
        return images.to(z.dtype)


def save_gan(path: Path, network: GeneratorNetwork, *, prior: Prior, made_by: Mapping[str, Any]) -> None:
    """Write the generator of a small GAN; `made_by` records the command, the settings and the final metrics."""
    header = {
        "family": FAMILY,
        "name": NAME,
        "config": network.config.model_dump(mode="json"),
        "images": {"channels": network.channels, "size": network.image_size},
        "prior": prior.model_dump(mode="json"),
        "made_by": dict(made_by),
    }
    save_tensors(path, network.state_dict(), kind="generator", header=header)


def load_gan(sources: Sources, options: LoadOptions) -> SmallGan:
    """The generator in a file that `save_gan` wrote.

    Raises:
        DataError: missing, truncated, in another format, of another generator, or with unexpected tensors.
        UsageError: an option that it does not support.
    """
    options.refuse(NAME, inverse=options.inverse, instances=sources.instances, parameters=sources.parameters)
    path = sources.weights
    tensors, header = load_tensors(path, kind="generator")
    if header.get("family") != FAMILY:
        raise DataError(f"{path} holds a generator of family '{header.get('family')}', not '{FAMILY}'.")
    try:
        config = GanConfig.model_validate(header.get("config"))
        shape = ImageShape.model_validate(header.get("images"))
        prior = Prior.model_validate(header.get("prior"))
        network = GeneratorNetwork(config, channels=shape.channels, image_size=shape.size)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"] or (error.title,)))
        raise DataError(f"{path}: the header does not describe a small GAN: {where}: {first['msg']}.") from None
    except ValueError as error:
        raise DataError(f"{path}: the header does not describe a small GAN: {error}.") from None
    load_into(network, tensors, path=path)
    made_by = header.get("made_by")
    return SmallGan(
        network,
        prior=options.truncated(prior, name=NAME),
        options=options,
        weights_sha256=sha256_of(path),
        made_by=made_by if isinstance(made_by, dict) else None,
    )
