"""Which loader reads a source: by name, or the one that suits it, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from copgen import views
from copgen.data.loaders.dali import DaliLoader
from copgen.data.loaders.decoding import DecodingLoader
from copgen.data.loaders.in_memory import MemoryLoader
from copgen.data.loaders.loader import Loader
from copgen.data.loaders.names import LoaderName
from copgen.data.sampler import EpochSampler
from copgen.data.skipped import Skipped
from copgen.data.source import DecodedImages, EncodedImages, Source
from copgen.runtime.errors import EnvironmentFault, UsageError

_TORCH = "Use --loader torch."


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
        name: a loader's name; or auto: DALI for files on a GPU, if it is installed and can make the views, else torch.
        source, sampler, policy, seed, count, device, workers, skipped: as in the loaders.

    Raises:
        UsageError: the loader cannot read this source, or make these views.
        EnvironmentFault: DALI is asked for, and is not installed or cannot start.
    """
    if isinstance(source, DecodedImages):
        if name not in ("auto", "torch"):
            raise UsageError(f"The loader '{name}' reads image files; these images are tensors.", fix=_TORCH)
        memory = MemoryLoader(source, sampler, policy, seed=seed, count=count, device=device)
        return Chosen(memory, "torch", "PyTorch augments on the device")
    if not isinstance(source, EncodedImages):
        raise UsageError(f"There is no loader for {type(source).__name__}.", fix="Give it encoded or decoded images.")

    def built(kind: Callable[..., Loader]) -> Loader:
        return kind(source, sampler, policy, seed=seed, count=count, device=device, workers=workers, skipped=skipped)

    if name == "torchvision":
        from copgen.data.loaders.torchvision import TorchvisionLoader  # imports all of torchvision's transforms

        return Chosen(built(TorchvisionLoader), name, "processes decode and augment with PIL")
    if name == "dali":
        return Chosen(built(DaliLoader), name, "DALI decodes and augments")
    otherwise = "threads decode, and PyTorch augments"
    if name == "auto" and device.type == "cuda":
        try:
            return Chosen(built(DaliLoader), "dali", "DALI decodes and augments on the GPU")
        except (EnvironmentFault, UsageError) as error:
            otherwise = f"{otherwise}; without DALI: {error.what}"
    return Chosen(built(DecodingLoader), "torch", otherwise)
