"""`load`: the encoder at a path, whichever program wrote it."""

from __future__ import annotations

from pathlib import Path

from copgen.encoders.encoder import Encoder, encoder_file, load_encoder
from copgen.encoders.foreign import is_foreign, load_foreign
from copgen.encoders.foreign.reading import SIZE
from copgen.runtime.errors import UsageError
from copgen.runtime.events import Events
from copgen.runtime.path_errors import path_errors


@path_errors()
def load(
    folder_or_path: Path | str,
    *,
    arch: str | None = None,
    views: str | None = None,
    image_size: int = SIZE,
    prefix: str | None = None,
    events: Events | None = None,
) -> Encoder:
    """Load an encoder onto the CPU; does not touch torch's random state, and executes nothing in the file.

    Args:
        folder_or_path: a run folder of `pretrain`, its `encoder.safetensors`, or a checkpoint of another program.
        arch: of another program's encoder, as are the rest; see `load_foreign`.
        views: the policy with its normalisation.
        image_size: side of its training images, pixels.
        prefix: of its tensors.
        events: is told what was taken.

    Raises:
        DataError: the file is missing, truncated, of another kind or shape, or has non-finite values.
        UsageError: an unknown architecture, policy or prefix; one of them for an encoder of copgen, which records them.
    """
    file = encoder_file(folder_or_path)
    if is_foreign(file):
        return load_foreign(file, arch=arch, views=views, image_size=image_size, prefix=prefix, events=events)
    given = [name for name, value in (("arch", arch), ("views", views), ("prefix", prefix)) if value is not None]
    if given and file.is_file():
        raise UsageError(
            f"{file} is an encoder of copgen, which records its {given[0]}.", fix=f"Leave out --{given[0]}."
        )
    return load_encoder(file)
