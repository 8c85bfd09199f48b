"""`copgen pretrain`: an encoder learns from pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.pretrain.settings import PretrainSettings
    from copgen.stages.pretrain.stage import pretrain

__all__ = ["PretrainSettings", "pretrain"]
_HOMES = {"PretrainSettings": "settings", "pretrain": "stage"}


def __getattr__(name: str) -> Any:
    return later.attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
