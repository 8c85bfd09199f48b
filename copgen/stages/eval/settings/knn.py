"""The settings of `copgen eval knn`."""

from __future__ import annotations

from copgen.runtime.declaration import Flag, setting
from copgen.runtime.panels import SETTINGS
from copgen.stages.eval.settings.common import EvalSettings, PositiveInt


class EvalKnnSettings(EvalSettings):
    """Settings of `copgen eval knn`."""

    ks: tuple[PositiveInt, ...] = setting(
        (1, 10, 20, 100, 200),
        text="Numbers of neighbours; one above the bank takes all of it.",
        source="Wu et al. 2018, DINO: 10, 20, 100, 200",
        min_length=1,
        flag=Flag(SETTINGS, "ROWS"),
    )
    temperature: float = setting(
        0.07, text="Temperature of the votes.", source="Wu et al. 2018", gt=0, flag=Flag(SETTINGS, "T")
    )
