"""The folder of the datasets, and where a dataset is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from copgen.runtime import environment
from copgen.runtime.path_errors import folder_if_any


def data_root(named: Path | None = None) -> Path:
    """The folder: `named`, else COPGEN_DATA, else `data` in the user's cache. It need not exist.

    Raises:
        UsageError: it is a URL.
        EnvironmentFault: it is not a folder, or this process may not look into it.
    """
    return folder_if_any(named or environment.data_directory() or environment.user_cache() / "data")


def find(root: Path, names: Iterable[str], fits: Callable[[Path], bool]) -> Path | None:
    """The first of the folders with these names below the root, or the root itself (""), that fits; else None."""
    return next((root / name for name in names if (root / name).is_dir() and fits(root / name)), None)
