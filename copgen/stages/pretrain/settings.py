"""The settings of `copgen pretrain`, each with its unit and its source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from copgen.runtime.settings import Settings

Width = Annotated[int, Field(ge=1)]


class PretrainSettings(Settings):
    """Settings of `copgen pretrain`."""

    free: ClassVar[frozenset[str]] = frozenset({"checkpoint_every", "device"})

    pairs: Path | None = Field(default=None, description="a pairs folder")
    dataset: str | None = Field(default=None, description="real images instead of pairs: digits")
    epochs: float = Field(default=100.0, gt=0, description="passes over the pairs (paper: 100)")
    updates: int | None = Field(default=None, ge=1, description="optimizer updates, instead of epochs")
    batch: int = Field(default=224, ge=2, le=1_000_000, description="K, pairs per update (authors: 224)")
    seed: int = Field(default=0, ge=0, description="decides every random number")

    temperature: float = Field(default=0.1, gt=0, description="of InfoNCE (authors: 0.1; MNIST: 0.5, appendix D)")
    optimizer: Literal["sgd", "adam"] = Field(default="sgd", description="SGD with momentum 0.9 (authors), or Adam")
    lr: float = Field(default=0.03 * 224 / 256, gt=0, description="peak learning rate (authors: 0.03 batch / 256)")
    weight_decay: float = Field(default=1e-4, ge=0, description="on all parameters (authors: 1e-4)")
    final_lr: float = Field(
        default=1e-3, ge=0, le=1, description="last learning rate, as a share of the peak (authors)"
    )

    views: str = Field(default="simclr", description="view policy T_x")
    encoder: str = Field(default="resnet50", description="architecture (paper: resnet50)")
    projector: tuple[Width, Width] = Field(default=(2048, 128), description="hidden and output width of the projector")

    checkpoint_every: int = Field(default=200, ge=1, description="updates between checkpoints")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
