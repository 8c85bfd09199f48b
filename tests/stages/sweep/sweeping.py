"""A small grid, and runs in it that fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from copgen.runtime.errors import CopgenError
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.sweep import kinds
from copgen.stages.sweep.settings import SweepSettings
from tests.stages.small import navigate_settings

DELTAS = {"delta": (0.4, 0.5)}
NAMES = [f"delta={delta}/seed-{seed}" for delta in (0.4, 0.5) for seed in (0, 1)]


def of(flow: Path, **given: Any) -> SweepSettings:
    given = {"settings": navigate_settings(flow).tree(), "values": DELTAS, "seeds": 2, **given}
    settings = {name: value for name, value in given["settings"].items() if name not in ("seed", *given["values"])}
    return SweepSettings.model_validate({**given, "settings": settings})


def running(monkeypatch: pytest.MonkeyPatch, *, failing: dict[float, CopgenError]) -> None:
    """Let the runs with these values of delta fail."""
    navigate = kinds.KINDS["navigate"].run

    def run(settings: NavigateSettings, **how: Any) -> dict[str, Any]:
        if settings.delta in failing:
            raise failing[settings.delta]
        return navigate(settings, **how)

    kind = replace(kinds.KINDS["navigate"], run=run)
    monkeypatch.setattr("copgen.stages.sweep.stage.KINDS", {"navigate": kind})
