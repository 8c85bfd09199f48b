"""`copgen compare`: results of evaluations in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.compare.settings import CompareSettings
    from copgen.stages.compare.stage import compare

__all__ = ["CompareSettings", "compare"]
__getattr__, __dir__ = later.names(__name__, {"settings": ["CompareSettings"], "stage": ["compare"]})
