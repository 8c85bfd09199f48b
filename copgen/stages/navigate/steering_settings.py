"""The settings of `copgen navigate --objective steering`, each with its unit and its source."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from copgen.generators.settings import GeneratorChoice
from copgen.views.edits import EditRanges

Beta = Annotated[float, Field(ge=0, lt=1)]


class SteeringSettings(GeneratorChoice):
    """Settings of `copgen navigate --objective steering`."""

    free: ClassVar[frozenset[str]] = frozenset({"checkpoint_every", "preview_every", "device"})

    samples: int = Field(default=160_000, ge=1, description="training samples drawn (GenRep: 160K)")
    batch: int = Field(default=32, ge=1, le=1_000_000, description="K, images per update (GenRep: 32)")
    seed: int = Field(default=0, ge=0, description="decides every random number")
    lr: float = Field(default=1e-3, gt=0, description="Adam's learning rate for all vectors (GenRep: 1e-3)")
    betas: tuple[Beta, Beta] = Field(default=(0.9, 0.999), description="Adam's betas (GenRep: the framework's)")
    init_std: float = Field(default=0.1, gt=0, description="standard deviation of the vectors at the start (GenRep)")
    edits: EditRanges = Field(default=EditRanges(), description="how far the edits go (GenRep's, at any resolution)")

    checkpoint_every: int = Field(default=100, ge=1, description="updates between checkpoints")
    preview_every: int = Field(default=10_000, ge=1, description="samples between preview pictures")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")

    @property
    def updates(self) -> int:
        """Optimizer updates: whole batches within `samples`, at least one."""
        return max(1, self.samples // self.batch)
