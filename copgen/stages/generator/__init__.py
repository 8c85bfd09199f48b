"""`copgen generator`: fit, fetch, import, inspect and list generators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.generator.fit import fit_flow
    from copgen.stages.generator.fit_settings import FitFlowSettings

__all__ = ["FitFlowSettings", "fit_flow"]
_HOMES = {"FitFlowSettings": "fit_settings", "fit_flow": "fit"}


def __getattr__(name: str) -> Any:
    return later.attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
