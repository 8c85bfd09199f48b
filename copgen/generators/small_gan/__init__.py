"""Small GANs: generators of a few hundred thousand parameters, which `copgen generator fit` trains on one CPU core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.generators.small_gan.config import GanConfig
from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.generators.small_gan.networks import Discriminator, GeneratorNetwork

__all__ = ["Discriminator", "GanConfig", "GeneratorNetwork"]
__getattr__, __dir__ = later.names(__name__, {"networks": ["Discriminator", "GeneratorNetwork"]})
