"""`copgen pretrain`: train an encoder on pairs, or on real images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.pretrain.settings import PretrainSettings
    from copgen.stages.pretrain.stage import pretrain

__all__ = ["PretrainSettings", "pretrain"]
__getattr__, __dir__ = later.names(__name__, {"settings": ["PretrainSettings"], "stage": ["pretrain"]})
