"""Plug-ins put on the path as an installed package would, and the example of the documentation among them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "generators.md"


def install(folder: Path, patch: pytest.MonkeyPatch, module: str, source: str, entry_points: str) -> None:
    """Put a module on the path with the entry points of an installed package, in a folder that is new."""
    (folder / f"{module}-1.dist-info").mkdir(parents=True)
    (folder / f"{module}.py").write_text(source)
    (folder / f"{module}-1.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (folder / f"{module}-1.dist-info" / "entry_points.txt").write_text(f"[copgen.generators]\n{entry_points}\n")
    patch.syspath_prepend(str(folder))
    patch.delitem(sys.modules, module, raising=False)


def install_example(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Put the generator `blobs` on the path, as the documentation has it."""
    text = DOCS.read_text("utf-8")
    (code,) = re.findall(r"```python\n# my_generator\.py\n(.*?)```", text, re.DOTALL)
    (entry,) = re.findall(r'\[project\.entry-points\."copgen\.generators"\]\n(.*?)\n```', text, re.DOTALL)
    install(folder, patch, "my_generator", code, entry.replace('"', ""))
