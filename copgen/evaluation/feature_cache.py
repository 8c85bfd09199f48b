"""Features on disk: a safetensors file for each key, which hashes everything that determines them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from copgen.runtime.events import Events
from copgen.storage.tensors import load_kept, save_tensors

KIND = "features"


def cached(file: Path, shape: tuple[int, int], extract: Callable[[], Tensor], *, key: str, events: Events) -> Tensor:
    """The features in a file, or those that `extract` returns, which are then written to it.

    Args:
        file: of the key; one that is damaged, or of another key or shape, is replaced.
        shape: (N, D).
        extract: makes them.
        key: a hash of encoder, data and preparation.
        events: is told which it was.
    """
    if (features := kept(file, shape, key=key)) is not None:
        events.say(f"Features of {shape[0]:,} images are read from {file}.")
        return features
    features = extract()
    keep(file, features, key=key)
    return features


def kept(file: Path, shape: tuple[int, int], *, key: str) -> Tensor | None:
    """The features in a file; None if it is absent or damaged, or has another key or shape."""
    found = load_kept(file, kind=KIND, key=key)
    features = None if found is None else found[0].get("features")
    return features if features is not None and tuple(features.shape) == shape else None


def keep(file: Path, features: Tensor, *, key: str) -> None:
    """Write features with their key, atomically; another evaluation of the encoder may do so at the same time."""
    save_tensors(file, {"features": features}, kind=KIND, header={"key": key}, alone=False)
