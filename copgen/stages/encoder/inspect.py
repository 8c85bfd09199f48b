"""`copgen encoder inspect`: what an encoder is, what it expects, and what made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen import encoders
from copgen.encoders.encoder import Encoder, encoder_file
from copgen.encoders.export import normalisation_of, stem_of
from copgen.runtime.events import Events
from copgen.runtime.path_errors import path_errors
from copgen.storage.files import sha256_of


@path_errors()
def inspect(
    ckpt: Path,
    *,
    arch: str | None = None,
    views: str | None = None,
    prefix: str | None = None,
    events: Events | None = None,
) -> dict[str, Any]:
    """Properties of an encoder.

    Args:
        ckpt: a run folder, its file, or a checkpoint of another program.
        arch, views, prefix, events: as for `copgen.encoders.load`.

    Returns:
        Its file and the sha256 of that, architecture, stem, parameters, feature dimension, the images that it expects
        with their mean and standard deviation for pixels in [0, 1], and what made it.

    Raises:
        DataError, UsageError: as `copgen.encoders.load`.
    """
    encoder = encoders.load(ckpt, arch=arch, views=views, prefix=prefix, events=events)
    return described(encoder, encoder_file(ckpt))


def described(encoder: Encoder, file: Path) -> dict[str, Any]:
    """The properties of an encoder in a file."""
    config = encoder.config
    numbers = normalisation_of(config)
    return {
        "encoder": str(file),
        "sha256": sha256_of(file),
        "arch": config.arch,
        "stem": stem_of(config),
        "parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        "feature_dim": encoder.feature_dim,
        "in_channels": config.in_channels,
        "image_size": config.image_size,
        "views": config.views,
        "mean": list(numbers.mean),
        "std": list(numbers.std),
        "made_by": encoder.made_by,
    }
