"""Pretrained generators G: the protocol, the registry, and one sub-package or file per family."""

from copgen.generators.protocol import Generator
from copgen.generators.registry import entry, load, names

__all__ = ["Generator", "entry", "load", "names"]
