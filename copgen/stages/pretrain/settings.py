"""The settings of `copgen pretrain`, with units and sources."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import INPUT, TRAINING
from copgen.runtime.settings import Settings
from copgen.training.length import batch_size, sample_count, update_count, whole_batches

Width = Annotated[int, Field(ge=1)]
EPOCHS = 100.0


class PretrainSettings(Settings):
    """Settings of `copgen pretrain`; at most one of epochs, samples and updates is given."""

    free: ClassVar[frozenset[str]] = frozenset({"checkpoint_every", "device"})
    exclusive = (("pairs", "dataset"), ("epochs", "samples", "updates"))

    pairs: Path | None = setting(None, text="Pairs folder, from copgen sample (pairs).", flag=Flag(INPUT, "FOLDER"))
    dataset: str | None = setting(None, text="Real images instead of pairs: digits.", flag=Flag(INPUT, "NAME"))
    epochs: float | None = setting(
        None,
        text="Passes over the pairs (100).",
        source="section 4: 100",
        gt=0,
        flag=Flag(TRAINING, "N"),
    )
    samples: int | None = sample_count(None)
    updates: int | None = update_count(None)
    batch: int = batch_size(224, source="authors")
    seed: int = seed_setting()

    temperature: float = setting(
        0.1,
        text="Temperature of InfoNCE.",
        source="authors' code; appendix D, MNIST: 0.5",
        gt=0,
        flag=Flag(TRAINING, "TAU"),
    )
    optimizer: Literal["sgd", "adam"] = setting(
        "sgd", text="sgd (momentum 0.9) or adam.", source="authors: sgd", flag=Flag(TRAINING, "NAME")
    )
    lr: float = setting(
        0.03 * 224 / 256,
        text="Peak learning rate.",
        source="authors: 0.03 batch / 256",
        gt=0,
        flag=Flag(TRAINING, "RATE"),
    )
    weight_decay: float = setting(
        1e-4, text="Weight decay (all parameters).", source="authors", ge=0, flag=Flag(TRAINING, "DECAY")
    )
    final_lr: float = setting(1e-3, text="Final learning rate, relative to the peak.", source="authors", ge=0, le=1)

    views: str = setting("simclr", text="Augmentation T_x, such as simclr.", flag=Flag(TRAINING, "NAME"))
    encoder: str = setting(
        "resnet50",
        text="Encoder f: digits, resnet18 or resnet50.",
        source="section 4: resnet50",
        flag=Flag(TRAINING, "NAME"),
    )
    projector: tuple[Width, Width] = setting((2048, 128), text="Hidden and output width of the projection head.")

    checkpoint_every: int = setting(200, text="Updates between checkpoints.", unit="updates", ge=1)
    device: str = device_setting()

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        """Convert samples to updates; the default length is the paper's epochs."""
        if self.samples is not None:
            self.__dict__.update(updates=whole_batches(self.samples, self.batch), samples=None)
        elif self.updates is None and self.epochs is None:
            self.__dict__.update(epochs=EPOCHS)
        return self

    def updates_over(self, pairs: int) -> int:
        """Optimizer updates: as given, or whole batches of the epochs over so many pairs; at least one."""
        return self.updates or max(1, math.floor((self.epochs or EPOCHS) * pairs / self.batch))
