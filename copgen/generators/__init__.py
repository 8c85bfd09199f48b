"""Pretrained generators G: the protocol, the registry, and one sub-package or file per family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.generators.protocol import Generator
    from copgen.generators.registry import entry, load, names

__all__ = ["Generator", "entry", "load", "names"]
__getattr__, __dir__ = later.names(__name__, {"protocol": ["Generator"], "registry": ["entry", "load", "names"]})
