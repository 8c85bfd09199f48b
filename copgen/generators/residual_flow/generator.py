"""A Residual Flow as a generator: G(z) = 2 F^-1(z) - 1, with its file format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from copgen.generators.load_options import LoadOptions
from copgen.generators.protocol import Generator
from copgen.generators.residual_flow.config import FlowConfig
from copgen.generators.residual_flow.inversion import FixedPoint, ReferenceRule
from copgen.generators.residual_flow.model import ResidualFlow
from copgen.generators.weights_files import Sources
from copgen.latents.prior import Prior
from copgen.runtime.errors import DataError, UsageError
from copgen.storage.files import sha256_of
from copgen.storage.tensors import load_into, load_tensors, save_tensors

FAMILY = "residual-flow"
DIGITS = "digits"
FITTED = "residual-flow"  # the name of a flow that `copgen generator fit` fitted to any dataset but the 8x8 digits


class FlowGenerator(Generator):
    """G and its inverse. `encode` maps images to latents; the flow's bounded weights are folded."""

    compiles = False  # the number of fixed-point iterations depends on the data

    def __init__(
        self,
        flow: ResidualFlow,
        *,
        name: str,
        prior: Prior,
        weights_sha256: str = "",
        made_by: Mapping[str, Any] | None = None,
        settings: Mapping[str, bool | int | float | str | None] | None = None,
        rounded: bool = False,
    ) -> None:
        super().__init__()
        self.flow = flow.fold(rounded=rounded)
        self.settings = dict(settings or {})
        self.name = name
        self.prior = prior
        self.weights_sha256 = weights_sha256
        self.made_by = dict(made_by or {})
        self.latent_dim = flow.config.latent_dim
        self.image_size = flow.config.image_size
        self.channels = flow.config.channels
        self.eval()

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:
            raise UsageError(f"'{self.name}' is unconditional, but a condition was given.")
        z = z.to(self.flow.dtype)
        return (2.0 * self.flow.decode(z) - 1.0).clamp(-1.0, 1.0)

    def encode(self, images: Tensor) -> Tensor:
        """z (N, latent_dim) with G(z) = images, for images in [-1, 1]."""
        z: Tensor = self.flow.encode_only((images.to(self.flow.dtype) + 1.0) / 2.0)
        return z


def save_flow(
    path: Path, flow: ResidualFlow, *, prior: Prior, made_by: Mapping[str, Any], name: str | None = None
) -> None:
    """Write a flow generator; `made_by` records the command, the seed and the final metrics, `name` the registered one.

    A file without a name is of `digits`.
    """
    header = {
        "family": FAMILY,
        **({"name": name} if name is not None else {}),
        "config": flow.config.model_dump(mode="json"),
        "prior": prior.model_dump(mode="json"),
        "made_by": dict(made_by),
    }
    save_tensors(path, flow.state_dict(), kind="generator", header=header)


def load_flow(path: Path, *, name: str, options: LoadOptions | None = None) -> FlowGenerator:
    """The generator in a file that `save_flow` wrote.

    Raises:
        DataError: missing, truncated, in another format, of another generator, or with unexpected tensors.
        UsageError: an option that a flow does not support.
    """
    tensors, header = load_tensors(path, kind="generator")
    if header.get("family") != FAMILY:
        raise DataError(f"{path} holds a generator of family '{header.get('family')}', not '{FAMILY}'.")
    if (found := header.get("name", name)) != name:
        raise DataError(f"{path} holds the generator '{found}', not '{name}'.", fix=f"Load it as '{found}'.")
    return build_flow(tensors, header, name=name, path=path, options=options or LoadOptions())


def loader(name: str) -> Callable[[Sources, LoadOptions], FlowGenerator]:
    """Loads the generator `name` from a file that `save_flow` wrote."""

    def load(sources: Sources, options: LoadOptions) -> FlowGenerator:
        options.refuse(name, instances=sources.instances, parameters=sources.parameters)
        return load_flow(sources.weights, name=name, options=options)

    return load


def build_flow(
    tensors: Mapping[str, Tensor], header: Mapping[str, Any], *, name: str, path: Path, options: LoadOptions
) -> FlowGenerator:
    """The generator of a flow's tensors and header; `path` is where they came from."""
    options.refuse(name, prior=options.prior, truncation=options.truncation, threshold=options.threshold)
    if options.precision == "bfloat16":
        raise UsageError(
            f"'{name}' is a flow, whose fixed-point iteration does not support bfloat16.", fix="Use float32 or float64."
        )
    try:
        config = FlowConfig.model_validate(header.get("config"))
        prior = Prior.model_validate(header.get("prior"))
    except ValidationError as error:
        raise DataError(f"{path}: the header does not describe a flow: {error.errors()[0]['msg']}.") from None
    exact = options.precision == "float64"
    tight = FixedPoint(tolerance=1e-12, max_rounds=2000) if exact else FixedPoint()
    rule = ReferenceRule(backward=tight) if options.inverse == "reference" else tight
    flow = ResidualFlow(config, rule=rule)
    load_into(flow, tensors, path=path)
    if exact:
        flow = flow.double()
    if options.memory_format == "channels_last":
        flow = flow.to(memory_format=torch.channels_last)
    return FlowGenerator(
        flow,
        name=name,
        prior=prior,
        weights_sha256=header.get("source_sha256") or sha256_of(path),
        made_by=header.get("made_by") or {key: header[key] for key in ("sources", "licence") if key in header},
        settings={
            "precision": options.precision,
            "memory_format": options.memory_format,
            "inverse": options.inverse or "tight",
            "parameters": header.get("parameters"),
        },
        rounded="source_sha256" in header,
    )
