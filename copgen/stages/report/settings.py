"""The settings of `copgen report`."""

from __future__ import annotations

from pathlib import Path

from copgen.runtime.declaration import setting
from copgen.runtime.settings import Settings


class ReportSettings(Settings):
    """Settings of `copgen report`."""

    runs: tuple[Path, ...] = setting(
        text="Run folders, results of evaluations, or folders that have some below them.", unit="paths", min_length=1
    )
