"""The settings of `copgen eval transfer`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from copgen.runtime.declaration import Flag, setting
from copgen.runtime.panels import INPUT, TRAINING
from copgen.runtime.settings import Settings
from copgen.runtime.urls import refuse_url
from copgen.stages.eval.settings.common import (
    EncoderFileSettings,
    Iterations,
    PositiveFloat,
    PreparedSettings,
)


class SeveralSettings(Settings):
    """Which datasets an encoder is evaluated on."""

    datasets: tuple[str, ...] = setting(
        ("digits",),
        text="Datasets, as a,b,c: names, voc07 or folders.",
        source="the 8x8 digits of scikit-learn",
        min_length=1,
        flag=Flag(INPUT, "NAME|FOLDER"),
    )

    @model_validator(mode="after")
    def _different(self) -> Self:
        for name in self.datasets:
            refuse_url(name)
            if not name.strip():
                raise ValueError("datasets has an empty name")
            if self.datasets.count(name) > 1:
                raise ValueError(f"datasets has {name} twice")
        return self


class EvalTransferSettings(PreparedSettings, SeveralSettings, EncoderFileSettings):
    """Settings of `copgen eval transfer`."""

    probe: Literal["linear", "svm"] = setting(
        "linear",
        text="linear (logistic regression), or svm.",
        source="GenRep: logistic regression for Caltech-101, svm for VOC07",
        flag=Flag(TRAINING, "NAME"),
    )
    c_grid: tuple[PositiveFloat, ...] | None = setting(
        None,
        text="Inverse L2 strengths or costs C, selected on validation or folds.",
        source="linear: 1e-4 to 1e2, measured; svm: 1e-7 to 1e2, GenRep",
        min_length=1,
    )
    folds: int = setting(
        3,
        text="Folds of voc07's training images, which select C.",
        source="VISSL, GenRep: 3",
        ge=2,
        flag=Flag(TRAINING, "N"),
    )
    max_iterations: Iterations = setting(
        5000, text="Most iterations per fit.", unit="iterations", source="measured, never reached"
    )
