"""Pretrained generators G: the protocol, the registry, and one sub-package or file per family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.generators.protocol import Generator
    from copgen.generators.registry import entry, load, names

__all__ = ["Generator", "entry", "load", "names"]
_HOMES = {"Generator": "protocol", **dict.fromkeys(("entry", "load", "names"), "registry")}


def __getattr__(name: str) -> Any:
    return later.attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
