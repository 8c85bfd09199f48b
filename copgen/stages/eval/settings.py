"""Settings of the evaluations; no torch here, so that the command line can read them at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from copgen.runtime.settings import Settings

PositiveFloat = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(ge=1)]


class EvalLinearSettings(Settings):
    """Settings of `copgen eval linear`."""

    ckpt: Path = Field(
        default=Path("runs/pretrain"),
        description="run folder with encoder.safetensors, or that file; source: where `copgen pretrain` writes",
    )
    dataset: str = Field(
        default="digits", description="labelled data, by name; source: the 8x8 digits that scikit-learn carries"
    )
    out: Path | None = Field(
        default=None,
        description="folder for results.json; source: eval/linear beside the encoder's file when not given",
    )
    seed: int = Field(default=0, ge=0, description="seed of the few-label draws; no unit; source: our choice")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N; no unit; source: our choice")
    batch_size: PositiveInt = Field(
        default=256,
        description="images at once through the encoder; images; source: our choice, changes memory and speed only",
    )
    c_grid: tuple[PositiveFloat, ...] = Field(
        default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2),
        min_length=1,
        description="inverse L2 strengths C tried on validation; no unit (standardised features); source: measured",
    )
    labels_per_class: tuple[PositiveInt, ...] = Field(
        default=(1, 5, 10), description="labels per class of the few-label probes; labels; source: our choice"
    )
    label_draws: PositiveInt = Field(
        default=20,
        description="random label draws of each few-label probe; draws; source: our choice, spread is reported",
    )
    max_iterations: PositiveInt = Field(
        default=5000,
        description="bound on L-BFGS iterations of one fit; iterations; source: measured, far from reached",
    )
