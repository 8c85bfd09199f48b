"""`copgen encoder import`: convert an encoder of another program to our format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.encoders.encoder import FILE_NAME, save_encoder
from copgen.encoders.foreign import is_foreign, load_foreign
from copgen.encoders.foreign.reading import SIZE
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events
from copgen.runtime.path_errors import path_errors
from copgen.stages.encoder.inspect import described


@path_errors()
def import_encoder(
    path: Path,
    *,
    out: Path,
    arch: str | None = None,
    views: str | None = None,
    image_size: int = SIZE,
    prefix: str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Convert a checkpoint of another program; writes `encoder.safetensors` into `out`, or nothing.

    Args:
        path: the checkpoint.
        out: the folder.
        arch, views, image_size, prefix, events: as for `load_foreign`.
        overwrite: replace an existing encoder in `out`.

    Returns:
        As `inspect`.

    Raises:
        UsageError: `out` contains an encoder already, or the file is one of copgen.
        DataError: as `load_foreign`.
    """
    target = out / FILE_NAME
    if target.exists() and not overwrite:
        raise UsageError(
            f"{out} contains an encoder already.", fix="Choose another folder, or pass --overwrite to replace it."
        )
    if path.is_file() and not is_foreign(path):
        raise UsageError(f"{path} is an encoder of copgen already.", fix="Pass it with --ckpt.")
    encoder = load_foreign(
        path,
        arch=arch,
        views=views,
        image_size=image_size,
        prefix=prefix,
        events=events,
    )
    save_encoder(target, encoder.backbone, encoder.config, encoder.made_by)
    return described(encoder, target)
