"""The settings of `copgen eval few-shot`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from copgen.runtime.declaration import Flag, setting
from copgen.runtime.panels import SETTINGS
from copgen.stages.eval.settings.common import Draws, EvalSettings, Iterations, PositiveFloat, PositiveInt


class EvalFewShotSettings(EvalSettings):
    """Settings of `copgen eval few-shot`."""

    exclusive = (("labels", "percent"),)

    labels: tuple[PositiveInt, ...] = setting(
        (1, 5, 10), text="Labels per class.", unit="labels", source="our choice", flag=Flag(SETTINGS, "ROWS")
    )
    percent: tuple[Annotated[int, Field(ge=1, le=100)], ...] = setting(
        (),
        text="Shares of the training labels, in percent, instead.",
        unit="%",
        source="1 and 10 are usual",
        flag=Flag(SETTINGS, "ROWS"),
    )
    draws: Draws = setting(
        10, text="Random draws of labels.", unit="draws", source="our choice", flag=Flag(SETTINGS, "N")
    )
    c_grid: tuple[PositiveFloat, ...] = setting(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2),
        text="Inverse L2 strengths C, selected on validation.",
        source="measured, for standardised features",
        min_length=1,
    )
    max_iterations: Iterations = setting(
        5000, text="Most L-BFGS iterations per fit.", unit="iterations", source="measured, never reached"
    )
