"""`copgen data list`: the known datasets, and where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.data.data_root import data_root
from copgen.data.datasets import DATASETS, place_of
from copgen.runtime.path_errors import path_errors


@path_errors()
def list_datasets(*, root: Path | None = None) -> dict[str, Any]:
    """A summary of each dataset; `folder` is None if it was not found. Nothing is downloaded.

    Args:
        root: the data root; None: COPGEN_DATA, else the user's cache.
    """
    found = []
    for name, known in DATASETS.items():
        folder = place_of(name, root)
        found.append(
            {
                "name": name,
                "about": known.about,
                "licence": known.licence,
                "source": known.source,
                "embedded": not known.places,
                "downloads": known.files is not None,
                "folder": str(folder) if folder is not None else None,
            }
        )
    return {"data_root": str(data_root(root)), "datasets": found}
