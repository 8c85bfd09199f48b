"""The settings that name the training images of a generator."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from copgen.runtime.declaration import Flag, device_setting, seed_setting, setting
from copgen.runtime.panels import INPUT
from copgen.training.intervals import Interval, checkpoint_setting
from copgen.training.length import Length, batch_size, sample_count, update_count


class FitImagesSettings(Length):
    """What the fits of generators to any dataset have in common."""

    free: ClassVar[frozenset[str]] = frozenset({"checkpoint_every", "preview_every", "device", "data_root"})
    stream: ClassVar[str]  # prefix of the names of its random numbers

    samples: int = sample_count(exclude=True)
    updates: int = update_count(12_000)
    batch: int = batch_size(64)
    dataset: str = setting(text="Dataset (copgen data list), or a folder of images.")
    data_root: Path | None = setting(None, text="Folder of the datasets (COPGEN_DATA).", flag=Flag(INPUT, "FOLDER"))
    split: Literal["train", "train+validation"] = setting("train", text="Split of the dataset.")
    image_size: int | None = setting(
        None,
        text="Pixels a side, such as 28, 32 or 64 (the images').",
        unit="pixels",
        ge=8,
        le=128,
        flag=Flag(INPUT, "PIXELS"),
    )
    channels: Literal[1, 3] | None = setting(None, text="1 (grey) or 3 (colour); those of the images.")
    mirror: bool = setting(False, text="Mirror half of the images left to right.")
    seed: int = seed_setting()
    checkpoint_every: Interval = checkpoint_setting()
    preview_every: int = setting(50_000, text="Samples between previews.", unit="samples", ge=1)
    device: str = device_setting()

    def check_size(self, side: int) -> None:
        """Raises ValueError if the network cannot have images of this many pixels a side."""
        raise NotImplementedError
