"""The settings of `copgen generator fit digits`, with units and sources."""

from __future__ import annotations

from typing import ClassVar, Literal

from copgen.generators.residual_flow import FlowConfig
from copgen.runtime.declaration import device_setting, setting
from copgen.stages.generator.flow_settings import FlowTrainingSettings


class FitFlowSettings(FlowTrainingSettings):
    """Settings of `copgen generator fit` of the Residual Flow that comes with copgen."""

    free: ClassVar[frozenset[str]] = frozenset({"checkpoint_every", "device"})

    dataset: Literal["digits"] = setting("digits", text="Dataset.")
    flow: FlowConfig = setting(FlowConfig(), text="Architecture.")
    augmentation: float = setting(1.0, text="Factor on the augmentation of appendix D.", ge=0, lt=10)
    checkpoint_every: int = setting(500, text="Updates between checkpoints.", unit="updates", ge=1)
    device: str = device_setting()
