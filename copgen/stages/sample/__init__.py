"""`copgen sample`: z -> (x, x') for as many pairs as asked, written as a pairs folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.sample.settings import SampleSettings
    from copgen.stages.sample.stage import sample

__all__ = ["SampleSettings", "sample"]
_HOMES = {"SampleSettings": "settings", "sample": "stage"}


def __getattr__(name: str) -> Any:
    return later.attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
