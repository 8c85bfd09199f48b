"""The generator and transforms of a `sample` run, from its settings, and the resulting plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from copgen.generators import Generator
from copgen.generators.compiled import CompiledGenerator
from copgen.pairs import FilterRules, GeneratorSource, Plan, PriorSource, encoder_versions
from copgen.pairs.codecs import DEFAULT_QUALITY
from copgen.runtime.dispatch import NARROW, choose
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import resolve_device, versions
from copgen.stages.sample.nearest import Neighbours, open_neighbours
from copgen.stages.sample.quality_filter import load_encoder
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.transform import Positives, build_transform

if TYPE_CHECKING:
    from copgen.encoders import Encoder


@dataclass(frozen=True)
class Source:
    """The models that generate pairs.

    Attributes:
        G: the generator.
        positives: a transform for each positive; none for `nearest`.
        encoder: f of the rules on similarity, or None.
        compiled: the compiled G, or None.
        neighbours: finds the positives of `nearest`; else None.
    """

    G: Generator
    positives: Positives
    encoder: Encoder | None = None
    compiled: CompiledGenerator | None = None
    neighbours: Neighbours | None = None

    def images(self, z: Tensor, condition: Tensor | None) -> Tensor:
        """G(z), for at most one batch of the plan."""
        images: Tensor = (self.compiled or self.G)(z, condition)
        return images


def open_source(
    settings: SampleSettings,
    device: torch.device | None = None,
    *,
    planned: torch.device | None = None,
    events: Events | None = None,
) -> tuple[Source, Plan]:
    """Load generator, transforms and encoder on a device, and make the plan; features of a pool come later.

    Args:
        settings: of the run.
        device: the device to load them on; None: that of the settings.
        planned: the device of the plan, if it is another.
        events: is told what was read from a file of another program.

    Raises:
        UsageError, DataError: a generator, navigator, walk or encoder is missing, does not match or fails
            verification.
        EnvironmentFault: the weights of a feature space are missing, or memory for a pool.
    """
    device = device or resolve_device(settings.device)
    G = settings.load_generator(device)
    neighbours = None
    if settings.transform == "nearest":
        neighbours = open_neighbours(settings, G, device, events or Silent())
        positives = Positives((), neighbours.source)
    else:
        positives = build_transform(settings, G, device)
    f, sha256 = load_encoder(settings.filter_encoder, G, device) if settings.filter_encoder else (None, None)
    planned = planned or device
    plan = make_plan(settings, G, positives, device=planned, rules=settings.rules(sha256))
    compiled = CompiledGenerator(G, plan.rows_at_once) if settings.compile != "off" else None
    # A device other than the plan's generates only a few pairs, to measure their size.
    return Source(G, positives, f, compiled if device.type == planned.type else None, neighbours), plan


def make_plan(
    settings: SampleSettings,
    G: Generator,
    positives: Positives,
    *,
    device: torch.device,
    rules: FilterRules | None,
) -> Plan:
    """Everything that determines the bytes of the folder, except the number of threads."""
    # Implementations round differently.
    latents = {"latents": choose("draw_latents", device, torch.float32).name}
    for navigator in positives.navigators:
        wide = max(navigator.latent_dim, navigator.hidden) > NARROW
        if choose("navigate", device, torch.float32, wide=wide).name == "triton":
            latents["navigator"] = "triton"
    shape = (G.channels, G.image_size, G.image_size)
    compiled = {"compile": settings.compile} if settings.compile != "off" else {}
    return Plan(
        seed=settings.seed,
        pairs=settings.n,
        pairs_per_shard=settings.pairs_per_shard,
        batch=settings.batch,
        generator=GeneratorSource(name=G.name, sha256=G.weights_sha256, settings={**G.settings, **compiled}),
        prior=PriorSource(name=G.prior.kind, settings=G.prior.model_dump(mode="json", exclude={"kind"})),
        transform=positives.source,
        positives=settings.positives,
        filter=rules,
        image_format=settings.image_format,
        quality=settings.quality if settings.quality else DEFAULT_QUALITY[settings.image_format],
        rounding=settings.rounding,
        image_shape=shape,
        versions={**versions(), **encoder_versions(settings.image_format, shape), **latents},
        device=device.type,
    )
