"""The settings of `copgen compare`."""

from __future__ import annotations

from pathlib import Path

from copgen.runtime.declaration import setting
from copgen.runtime.settings import Settings


class CompareSettings(Settings):
    """Settings of `copgen compare`."""

    results: tuple[Path, ...] = setting(
        text="results.json files, or folders that have some below them.", unit="paths", min_length=1
    )
    by: tuple[str, ...] = setting(
        (),
        text="Settings that make a row, such as method,lr (all but seeds).",
        source="names in results.json, in the settings of pretraining, or of the pairs",
    )
    names: tuple[str, ...] = setting((), text="Names of the rows, from the first on.")
