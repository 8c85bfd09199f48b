"""The folder of weights that do not ship with copgen, with `NAME.safetensors` for each imported generator.

It is the one that the caller names, else the environment variable COPGEN_WEIGHTS, else `weights` in the user's cache.
Published files in it are found under their published names too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from copgen.generators.public_files import PublicFile
from copgen.runtime import environment
from copgen.runtime.path_errors import folder_if_any


def weights_directory(named: Path | None = None) -> Path:
    """The folder: `named`, else COPGEN_WEIGHTS, else the user's cache. It need not exist.

    Raises:
        UsageError: it is a URL.
        EnvironmentFault: it is not a folder, or this process may not look into it.
    """
    return folder_if_any(named or environment.weights_directory() or environment.user_cache() / "weights")


def converted_file(name: str, directory: Path | None = None) -> Path:
    """The path of the imported weights of a generator."""
    return weights_directory(directory) / f"{name}.safetensors"


def find(name: str, files: Iterable[PublicFile] = (), *, directory: Path | None = None) -> Path | None:
    """The weights of a generator in the folder: the imported file, else a published one of `files`, else None."""
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
