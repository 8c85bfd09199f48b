"""Pretraining methods: one file each, with its heads, its memory and its loss (the interface is in method.py).

settings = settings_of("byol", {"momentum": 0.996}, features=512)     # its defaults otherwise (defaults.py)
method = build(settings, encoders.build("resnet18"), seed=0, updates=1000)
losses = method(v, v_pos)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.methods.defaults import DEFAULTS, settings_of
from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.methods.method import Method
    from copgen.methods.registry import build

__all__ = ["DEFAULTS", "Method", "build", "settings_of"]
__getattr__, __dir__ = later.names(__name__, {"method": ["Method"], "registry": ["build"]})
