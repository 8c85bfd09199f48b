"""The settings of `copgen generator fit` of a Residual Flow on any dataset, with units and sources."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from copgen.generators.residual_flow.config import FlowNetwork
from copgen.runtime.declaration import setting
from copgen.stages.generator.flow_settings import FlowTrainingSettings
from copgen.stages.generator.image_settings import FitImagesSettings

STAGE = "generator fit residual-flow"


class FitResidualFlowSettings(FitImagesSettings, FlowTrainingSettings):
    """Settings of `copgen generator fit` of a Residual Flow on any dataset."""

    stream: ClassVar[str] = "fit"

    network: FlowNetwork = setting(FlowNetwork(), text="Architecture.")

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        if self.image_size is not None:
            self.check_size(self.image_size)
        return self

    def check_size(self, side: int) -> None:
        self.network.check_size(side)
