"""Render the API reference from the docstrings: `make docs`, or `python -W error docs/reference.py FOLDER`.

Every module of copgen is imported, `copgen.kernels` included; none needs a GPU or the native operators. Warnings are
errors, such as a module that cannot be imported, or a name in `__all__` that does not exist.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pdoc


def load(package: ModuleType) -> int:
    """Import the modules of a package, and let pdoc see them, and what the package exports: how many modules."""
    count = 1
    children = {info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")}
    if package.__name__ == "copgen":
        children.add("kernels")  # another folder, where copgen is installed in editable mode
    for child in sorted(children):
        module = importlib.import_module(f"{package.__name__}.{child}")
        count += load(module) if hasattr(module, "__path__") else 1
    if hasattr(package, "__all__"):
        # pdoc does not ask `__getattr__`, and leaves out modules that are not in `__all__`.
        exported = {name: getattr(package, name) for name in package.__all__}
        vars(package).update(exported, __all__=[*exported, *sorted(children - exported.keys())])
    return count


def render(folder: Path) -> None:
    """Write the reference into `folder`, a page a module."""
    count = load(importlib.import_module("copgen"))
    # mypy checks annotations; pdoc looks for those of NamedTuples and inherited dataclass fields in the wrong module.
    warnings.filterwarnings("ignore", "Error parsing type annotation")
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc("copgen", output_directory=folder)
    print(f"{count} modules: {folder / 'index.html'}")


if __name__ == "__main__":
    render(Path(sys.argv[1]))
