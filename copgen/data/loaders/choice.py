"""Which loader reads a source: by name, or the one that suits it, with the reason."""

from __future__ import annotations

from typing import NamedTuple, TypeGuard

from copgen.data.loaders.dali import DaliLoader
from copgen.data.loaders.decoding import DecodingLoader
from copgen.data.loaders.in_memory import MemoryLoader
from copgen.data.loaders.loader import Loader, LoaderConfig
from copgen.data.loaders.names import LoaderName
from copgen.data.source import DecodedImages, EncodedImages, Source
from copgen.runtime.errors import EnvironmentFault, UsageError

_TORCH = "Use --loader torch."


class Chosen(NamedTuple):
    """A loader, its name, and why it was chosen."""

    loader: Loader
    name: str
    reason: str


def build_loader(name: LoaderName, config: LoaderConfig[Source]) -> Chosen:
    """The loader of a source.

    Args:
        name: a loader's name; or auto: DALI for files on a GPU, if it is installed and can make the views, else torch.
        config: what it reads and makes.

    Raises:
        UsageError: the loader cannot read this source, or make these views.
        EnvironmentFault: DALI is asked for, and is not installed or cannot start.
    """
    if _decoded(config):
        if name not in ("auto", "torch"):
            raise UsageError(f"The loader '{name}' reads image files; these images are tensors.", fix=_TORCH)
        return Chosen(MemoryLoader(config), "torch", "PyTorch augments on the device")
    if not _encoded(config):
        raise UsageError(
            f"There is no loader for {type(config.source).__name__}.", fix="Give it encoded or decoded images."
        )
    if name == "torchvision":
        from copgen.data.loaders.torchvision import TorchvisionLoader  # imports all of torchvision's transforms

        return Chosen(TorchvisionLoader(config), name, "processes decode and augment with PIL")
    if name == "dali":
        return Chosen(DaliLoader(config), name, "DALI decodes and augments")
    otherwise = "threads decode, and PyTorch augments"
    if name == "auto" and config.device.type == "cuda":
        try:
            return Chosen(DaliLoader(config), "dali", "DALI decodes and augments on the GPU")
        except (EnvironmentFault, UsageError) as error:
            otherwise = f"{otherwise}; without DALI: {error.what}"
    return Chosen(DecodingLoader(config), "torch", otherwise)


def _decoded(config: LoaderConfig[Source]) -> TypeGuard[LoaderConfig[DecodedImages]]:
    return isinstance(config.source, DecodedImages)


def _encoded(config: LoaderConfig[Source]) -> TypeGuard[LoaderConfig[EncodedImages]]:
    return isinstance(config.source, EncodedImages)
