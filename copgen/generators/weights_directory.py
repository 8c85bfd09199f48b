"""Where weights are kept that do not come with copgen: one folder, with `NAME.safetensors` for each imported generator.

The folder is the one that the caller names, else that of the environment variable COPGEN_WEIGHTS, else `weights` in the
user's cache. A published file that lies in it under its published name is found too, as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from copgen.generators.public_files import PublicFile
from copgen.runtime import environment


def weights_directory(named: Path | None = None) -> Path:
    """The folder: `named`, else COPGEN_WEIGHTS, else the user's cache. It need not exist."""
    return named or environment.weights_directory() or environment.user_cache() / "weights"


def converted_file(name: str, directory: Path | None = None) -> Path:
    """Where the imported weights of a generator belong."""
    return weights_directory(directory) / f"{name}.safetensors"


def find(name: str, files: Iterable[PublicFile] = (), *, directory: Path | None = None) -> Path | None:
    """The weights of a generator in the folder: the imported file, else a published one (of `files`), else None."""
    converted = converted_file(name, directory)
    if converted.is_file():
        return converted
    folder = weights_directory(directory)
    for file in files:
        if file.role != "weights":
            continue
        for place in (folder, folder / name):
            found = place / (file.inside or file.name)
            if found.exists():
                return found
    return None
