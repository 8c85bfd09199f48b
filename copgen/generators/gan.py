"""The base class of the GANs: frozen, in the requested precision, with float32 images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from copgen.generators.load_options import LoadOptions
from copgen.generators.protocol import Generator
from copgen.generators.weights_files import Converted
from copgen.latents.prior import Prior
from copgen.runtime.errors import UsageError

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
_NOT_LEARNED = (
    *(".u0", ".weight_u", ".weight_v", ".stored_mean", ".stored_var", ".running_means", ".running_vars"),
    "instances.features",
)


def compute_type(options: LoadOptions) -> torch.dtype:
    """The dtype of convolutions."""
    return _TYPES[options.precision]


class GAN(Generator):
    """A generator with three channels whose network ends in tanh.

    `forward` of each checks what it is given, and computes in float32 (or float64, where the network is).
    """

    def __init__(self, converted: Converted, options: LoadOptions, *, latent_dim: int, image_size: int) -> None:
        super().__init__()
        header: Mapping[str, Any] = converted.header
        self.name = header["name"]
        self.latent_dim, self.image_size, self.channels = latent_dim, image_size, 3
        self.prior = options.truncated(Prior.model_validate(header["prior"]), name=self.name)
        self.weights_sha256 = header["source_sha256"]
        self.made_by = {"sources": header["sources"], "licence": header["licence"]}
        self.settings = {"precision": options.precision, "memory_format": options.memory_format}
        # Count the learned parameters in the file: folding merges some layers and enlarges others.
        self.learned = sum(t.numel() for name, t in converted.tensors.items() if not name.endswith(_NOT_LEARNED))
        self.exact = torch.float64 if options.precision == "float64" else torch.float32

    @property
    def parameter_count(self) -> int:
        return self.learned

    def check_latent(self, z: Tensor) -> Tensor:
        """z in the dtype of the network.

        Raises:
            UsageError: the shape is not (N, latent_dim); a surplus coordinate would go unnoticed.
        """
        if z.dim() != 2 or z.shape[1] != self.latent_dim:
            raise UsageError(f"z has shape {tuple(z.shape)}; '{self.name}' takes (N, {self.latent_dim}).")
        return z.to(self.exact)
