"""`copgen sweep`: runs of navigate or pretrain over a grid of settings and seeds, compared in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.sweep.settings import SweepSettings
    from copgen.stages.sweep.stage import sweep

__all__ = ["SweepSettings", "sweep"]
__getattr__, __dir__ = later.names(__name__, {"settings": ["SweepSettings"], "stage": ["sweep"]})
