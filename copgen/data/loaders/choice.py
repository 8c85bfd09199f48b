"""Which loader reads a source: by name, or the one that suits it, with the reason."""

from __future__ import annotations

from typing import NamedTuple

import torch

from copgen import views
from copgen.data.loaders.decoding import DecodingLoader
from copgen.data.loaders.in_memory import MemoryLoader
from copgen.data.loaders.loader import Loader
from copgen.data.loaders.names import LoaderName
from copgen.data.sampler import EpochSampler
from copgen.data.skipped import Skipped
from copgen.data.source import DecodedImages, EncodedImages, Source
from copgen.runtime.errors import UsageError


class Chosen(NamedTuple):
    """A loader, its name, and why it was chosen."""

    loader: Loader
    name: str
    reason: str


def build_loader(
    name: LoaderName,
    source: Source,
    sampler: EpochSampler,
    policy: views.Policy,
    *,
    seed: int,
    count: int,
    device: torch.device,
    workers: int | None = None,
    skipped: Skipped | None = None,
) -> Chosen:
    """The loader of a source.

    Args:
        name: auto, or a loader's name.
        source, sampler, policy, seed, count, device, workers, skipped: as in the loaders.

    Raises:
        UsageError: the loader cannot read this source.
    """
    if isinstance(source, DecodedImages):
        memory = MemoryLoader(source, sampler, policy, seed=seed, count=count, device=device)
        return Chosen(memory, "torch", "PyTorch augments on the device")
    if isinstance(source, EncodedImages):
        threads = DecodingLoader(
            source, sampler, policy, seed=seed, count=count, device=device, workers=workers, skipped=skipped
        )
        return Chosen(threads, "torch", "threads decode, and PyTorch augments")
    raise UsageError(f"There is no loader for {type(source).__name__}.", fix="Give it encoded or decoded images.")
