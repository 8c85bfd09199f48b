"""`copgen generator fit` of a small GAN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later
from copgen.stages.generator.gan.settings import FitGanSettings

if TYPE_CHECKING:
    from copgen.stages.generator.gan.stage import fit_gan

__all__ = ["FitGanSettings", "fit_gan"]
__getattr__, __dir__ = later.names(__name__, {"stage": ["fit_gan"]})
