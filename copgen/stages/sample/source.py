"""What `sample` makes pairs of: the generator and transforms that its settings name, and the plan that follows."""

from __future__ import annotations

import torch

from copgen.generators.compiled import CompiledGenerator
from copgen.pairs import Plan
from copgen.runtime.dispatch import choose
from copgen.runtime.machine import resolve_device
from copgen.stages.sample.batches import Source
from copgen.stages.sample.plan import make_plan
from copgen.stages.sample.quality_filter import load_encoder
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.transform import build_transform


def open_source(
    settings: SampleSettings, device: torch.device | None = None, *, planned: torch.device | None = None
) -> tuple[Source, Plan]:
    """Generator, transforms and encoder on a device, and the plan they make.

    Args:
        settings: which ones.
        device: where they are put; unset is that of the settings.
        planned: the device of the plan, where that is another.

    Raises:
        UsageError, DataError: a generator, navigator, walk or encoder that does not exist, fit or verify.
    """
    device = device or resolve_device(settings.device)
    G = settings.load_generator(device)
    positives = build_transform(settings, G, device)
    f, sha256 = load_encoder(settings.filter_encoder, G, device) if settings.filter_encoder else (None, None)
    planned = planned or device
    plan = make_plan(
        settings,
        G.description,
        positives.source,
        device=planned.type,
        latents=choose("navigate", planned, torch.float32).name,
        rules=settings.rules(sha256),
    )
    compiled = CompiledGenerator(G, plan.rows_at_once) if settings.compile != "off" else None
    # On another device than the plan's nothing is made; a few pairs at most, to see how large they are.
    return Source(G, positives, f, compiled if device.type == planned.type else None), plan
