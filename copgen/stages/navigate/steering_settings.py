"""The settings of `copgen navigate --objective steering`, each with its unit and its source."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from copgen.generators.settings import GeneratorChoice
from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import TRAINING
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
        text="Adam's rate for all vectors of steering.",
        source="GenRep",
        former=("lr_navigator",),
        gt=0,
        flag=Flag(TRAINING, "RATE"),
    )
    betas: tuple[Beta, Beta] = setting((0.9, 0.999), text="Adam's betas.", source="GenRep: the framework's")
    init_std: float = setting(0.1, text="Standard deviation of the vectors at the start.", source="GenRep", gt=0)
    edits: EditRanges = setting(EditRanges(), text="How far the edits go.", source="GenRep, at any resolution")

    checkpoint_every: int = setting(100, text="Updates between checkpoints.", unit="updates", ge=1)
    preview_every: int = setting(10_000, text="Samples between preview pictures.", unit="samples", ge=1)
    device: str = device_setting()
