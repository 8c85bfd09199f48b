"""`copgen generator`: fit, fetch, import, inspect and list generators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.generator.fit import fit_flow
    from copgen.stages.generator.fit_settings import FitFlowSettings
    from copgen.stages.generator.gan import FitGanSettings, fit_gan

__all__ = ["FitFlowSettings", "FitGanSettings", "fit_flow", "fit_gan"]
__getattr__, __dir__ = later.names(
    __name__,
    {"fit_settings": ["FitFlowSettings"], "fit": ["fit_flow"], "gan": ["FitGanSettings", "fit_gan"]},
)
