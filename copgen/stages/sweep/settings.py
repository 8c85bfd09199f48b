"""The settings of `copgen sweep`: the grid, and what all of its runs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from copgen.runtime.declaration import setting
from copgen.runtime.settings import Settings


class SweepSettings(Settings):
    """Settings of `copgen sweep`."""

    stage: Literal["navigate", "pretrain"] = setting("navigate", text="The stage of all runs: navigate or pretrain.")
    recipe: str | None = setting(None, text="Recipe of all runs.")
    config: Path | None = setting(None, text="TOML file of settings of all runs; it overrides the recipe.")
    settings: dict[str, Any] = setting({}, text="Settings of all runs by name; they override the file.")
    values: dict[str, tuple[Any, ...]] = setting(
        {}, text="Values of a setting by its name: there is a run for each combination, and each seed."
    )
    seeds: int = setting(1, text="Runs of each combination, with seeds from that of the settings on.", ge=1, le=10_000)
