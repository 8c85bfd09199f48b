"""The settings of `copgen generator fit`, each with its unit and its source."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from copgen.generators.residual_flow import FlowConfig
from copgen.runtime.settings import Settings


class FitFlowSettings(Settings):
    """Settings of `copgen generator fit`."""

    free: ClassVar[frozenset[str]] = frozenset({"checkpoint_every", "device"})

    dataset: Literal["digits"] = Field(default="digits", description="what the flow is fitted to")
    flow: FlowConfig = Field(default=FlowConfig(), description="architecture")
    updates: int = Field(default=20_000, ge=1, description="optimizer updates")
    batch: int = Field(default=128, ge=2, le=1_000_000, description="images per update")
    lr: float = Field(default=2e-3, gt=0, description="peak learning rate of Adam, cosine schedule (measured here)")
    warmup: int = Field(default=100, ge=1, description="updates to reach the peak")
    clip: float = Field(default=1.0, gt=0, description="bound on the gradient norm")
    ema: float = Field(default=0.999, ge=0, lt=1, description="decay of the averaged weights (residual-flows: 0.999)")
    exact_terms: int = Field(default=2, ge=1, description="series terms always computed (residual-flows: 2)")
    extra_terms: float = Field(default=1.0, gt=0, le=20, description="mean of the Poisson number of further terms")
    augmentation: float = Field(default=1.0, ge=0, lt=10, description="factor on the ranges of appendix D's T_x")
    prior_scale: float = Field(default=1.0, gt=0, description="standard deviation of the latents that are sampled")
    seed: int = Field(default=0, ge=0, description="decides every random number")
    checkpoint_every: int = Field(default=500, ge=1, description="updates between checkpoints")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
