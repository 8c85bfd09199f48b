"""How long a training run is: samples drawn, the unit of the paper's figures, or optimizer updates of a batch each."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import model_validator

from copgen.runtime.declaration import Flag, setting
from copgen.runtime.panels import TRAINING
from copgen.runtime.settings import Settings

COUNT = Flag(TRAINING, "COUNT")


def sample_count(default: Any = 0, **how: Any) -> Any:
    """Declares `samples`."""
    text = "Training samples, such as 20k or 1.3M."
    return setting(default, text=text, unit="samples", also=("steps",), ge=1, flag=COUNT, **how)


def update_count(default: Any = 0, **how: Any) -> Any:
    """Declares `updates`."""
    return setting(default, text="Optimizer updates, instead of --samples.", ge=1, flag=COUNT, **how)


def batch_size(default: int, *, ge: int = 2, **how: Any) -> Any:
    """Declares `batch`."""
    return setting(default, text="Global batch size K.", unit="samples", ge=ge, le=1_000_000, flag=COUNT, **how)


def whole_batches(samples: int, batch: int) -> int:
    """Updates that `samples` are enough for.

    Raises:
        ValueError: not one.
    """
    if samples < batch:
        raise ValueError(f"samples = {samples:,} is less than one batch of {batch:,}; raise samples or lower batch")
    return samples // batch


class Length(Settings):
    """The length of a run in samples or in updates: one of them is given, and the other follows.

    The one that is no field of the recorded settings has `exclude`. Where `updates` is recorded, samples beyond whole
    batches are dropped.
    """

    exclusive: ClassVar[tuple[tuple[str, ...], ...]] = (("samples", "updates"),)

    samples: int = sample_count()
    updates: int = update_count(exclude=True)
    batch: int = batch_size(176)

    @model_validator(mode="after")
    def _samples_and_updates(self) -> Self:
        samples, batch = self.samples, self.batch
        if "updates" in self.model_fields_set or not samples:
            samples = self.updates * batch
        if not samples:
            raise ValueError("neither samples nor updates are given")
        updates = whole_batches(samples, batch)
        if type(self).model_fields["samples"].exclude:
            samples = updates * batch
        self.__dict__.update(samples=samples, updates=updates)  # frozen for everybody else
        return self
