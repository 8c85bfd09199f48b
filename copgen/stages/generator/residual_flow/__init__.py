"""`copgen generator fit` of a Residual Flow on any dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later
from copgen.stages.generator.residual_flow.settings import FitResidualFlowSettings

if TYPE_CHECKING:
    from copgen.stages.generator.residual_flow.stage import fit_residual_flow

__all__ = ["FitResidualFlowSettings", "fit_residual_flow"]
__getattr__, __dir__ = later.names(__name__, {"stage": ["fit_residual_flow"]})
