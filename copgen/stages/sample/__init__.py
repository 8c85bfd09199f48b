"""`copgen sample`: generate pairs z -> (x, x') and write them as a pairs folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.sample.settings import SampleSettings
    from copgen.stages.sample.stage import sample

__all__ = ["SampleSettings", "sample"]
__getattr__, __dir__ = later.names(__name__, {"settings": ["SampleSettings"], "stage": ["sample"]})
