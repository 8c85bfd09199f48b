"""`copgen encoder export`: an encoder for torchvision, timm or detectron2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen import encoders
from copgen.encoders.encoder import encoder_file
from copgen.encoders.export import check_export, export_encoder, usage
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events
from copgen.runtime.path_errors import path_errors
from copgen.stages.encoder.inspect import described
from copgen.storage.files import sha256_of


@path_errors()
def export(
    ckpt: Path,
    *,
    to: str,
    out: Path,
    arch: str | None = None,
    views: str | None = None,
    prefix: str | None = None,
    overwrite: bool = False,
    events: Events | None = None,
) -> dict[str, Any]:
    """Write one file for another program, or nothing.

    Args:
        ckpt: a run folder, its file, or a checkpoint of another program.
        to: torchvision, timm or detectron2.
        out: the file; its suffix chooses the container, see `export_encoder`.
        arch, views, prefix, events: as for `copgen.encoders.load`.
        overwrite: replace an existing file.

    Returns:
        The file, its sha256 and number of tensors, the source as from `inspect`, and the lines with which the program
        loads it.

    Raises:
        UsageError: `out` exists, or is the encoder itself, has another suffix, or the program has no such encoder.
        DataError: as `copgen.encoders.load`.
        EnvironmentFault: `out` cannot be written.
    """
    encoder = encoders.load(ckpt, arch=arch, views=views, prefix=prefix, events=events)
    check_export(encoder.config, out, to=to)
    if out.exists() and (out.is_dir() or not overwrite):
        raise UsageError(f"{out} exists.", fix="Choose another file with --out, or pass --overwrite to replace it.")
    source_file = encoder_file(ckpt)
    if out.exists() and out.samefile(source_file):
        raise UsageError(f"--out {out} is the encoder itself.", fix="Choose another file with --out.")
    source = described(encoder, source_file)
    export_encoder(encoder, out, to=to)
    return {
        "to": to,
        "out": str(out),
        "sha256": sha256_of(out),
        "tensors": len(encoder.backbone.state_dict()),
        "source": source,
        "usage": usage(encoder.config, out, to=to),
    }
