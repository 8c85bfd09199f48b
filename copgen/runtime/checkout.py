"""Finds `copgen.kernels` where nothing is installed: in a checkout it is the folder `kernels` beside `copgen`.

A wheel has the folder inside the package, so that Python finds it by itself. A checkout that is on the path, by an
editable installation, by PYTHONPATH or by the current directory, has it one level higher.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

KERNELS = "copgen.kernels"


def add_kernels(package: Path) -> None:
    """Register the folder beside `package`, the folder of `copgen`, under its name; nothing if it is installed."""
    folder = package.parent / "kernels"
    if (package / "kernels").is_dir() or not (folder.parent / "pyproject.toml").is_file():
        return
    spec = importlib.util.spec_from_file_location(
        KERNELS, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[KERNELS] = module
