"""`copgen generator`: fit, fetch, import, inspect and list generators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.generator.fit import fit_flow
    from copgen.stages.generator.fit_settings import FitFlowSettings
    from copgen.stages.generator.gan import FitGanSettings, fit_gan
    from copgen.stages.generator.residual_flow import FitResidualFlowSettings, fit_residual_flow

__all__ = [
    "FitFlowSettings",
    "FitGanSettings",
    "FitResidualFlowSettings",
    "fit_flow",
    "fit_gan",
    "fit_residual_flow",
]
__getattr__, __dir__ = later.names(
    __name__,
    {
        "fit_settings": ["FitFlowSettings"],
        "fit": ["fit_flow"],
        "gan": ["FitGanSettings", "fit_gan"],
        "residual_flow": ["FitResidualFlowSettings", "fit_residual_flow"],
    },
)
