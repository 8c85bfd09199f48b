"""`copgen generator list`: the registered generators, and where their weights are, if they are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.generators import plugins, registry, weights_directory
from copgen.runtime.path_errors import path_errors


@path_errors()
def list_generators(*, directory: Path | None = None) -> dict[str, Any]:
    """A summary of each generator; `weights` is None if they are not installed.

    Args:
        directory: the weights directory; None: the default.
    """
    known = []
    for name in [*registry.names(), *(name for name in plugins.names() if name not in registry.names())]:
        entry = registry.entry(name)
        weights = registry.embedded_weights(name) or weights_directory.find(name, entry.files, directory=directory)
        known.append(
            {
                "name": name,
                "about": entry.about,
                "recipe": entry.recipe,
                "weights": str(weights) if weights is not None else None,
                "embedded": entry.embedded is not None,
                "plugin": name not in registry.names(),
                "licence": entry.licence,
                "files": [{"name": file.name, "role": file.role, "urls": list(file.urls)} for file in entry.files],
            }
        )
    return {"weights_directory": str(weights_directory.weights_directory(directory)), "generators": known}
