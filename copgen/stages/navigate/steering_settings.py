"""The settings of `copgen navigate --objective steering`, with units and sources."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from copgen.generators.settings import GeneratorChoice
from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import TRAINING
from copgen.training.intervals import Interval, checkpoint_setting
from copgen.training.length import Length, batch_size, sample_count
from copgen.views.edit_ranges import EditRanges

Beta = Annotated[float, Field(ge=0, lt=1)]


class SteeringSettings(Length, GeneratorChoice):
    """Settings of `copgen navigate --objective steering`."""

    free: ClassVar[frozenset[str]] = frozenset({"checkpoint_every", "preview_every", "device"})
    exclusive = (*GeneratorChoice.exclusive, *Length.exclusive)

    samples: int = sample_count(160_000, source="GenRep")
    batch: int = batch_size(32, ge=1, source="GenRep")
    seed: int = seed_setting()
    lr: float = setting(
        1e-3,
        text="Learning rate of the steering vectors.",
        source="GenRep",
        former=("lr_navigator",),
        gt=0,
        flag=Flag(TRAINING, "RATE"),
    )
    betas: tuple[Beta, Beta] = setting((0.9, 0.999), text="Betas of Adam.", source="GenRep: PyTorch's default")
    init_std: float = setting(0.1, text="Initial standard deviation of the vectors.", source="GenRep", gt=0)
    edits: EditRanges = setting(EditRanges(), text="Ranges of the edits.", source="GenRep, at any resolution")

    checkpoint_every: Interval = checkpoint_setting()
    preview_every: int = setting(10_000, text="Samples between previews.", unit="samples", ge=1)
    device: str = device_setting()
