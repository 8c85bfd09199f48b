"""The stages: each reads files, runs one part of the chain, and writes files.

All have one shape, `stage(settings, *, out, overwrite=False, events=None) -> summary`. A stage and its settings are
exported by its folder, as `copgen.stages.navigate.navigate`, and by `copgen` itself, as `copgen.navigate`; not by this
package, where the name is that of the folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages import compare, eval, generator, navigate, navigator, pairs_folder, pretrain, report, sample

__all__ = ["compare", "eval", "generator", "navigate", "navigator", "pairs_folder", "pretrain", "report", "sample"]
__getattr__, __dir__ = later.names(__name__, {}, packages=__all__)
