"""copgen: contrastive optimal positives from a pretrained generator (COP-Gen, NeurIPS 2022).

The four stages are navigate, sample, pretrain and eval; `copgen --help` runs them from the shell, and the same names
are here for Python. Sub-packages load on first use, so `import copgen` does not import torch.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"
__all__ = ["data", "encoders", "generators", "latents", "objectives", "pairs", "stages", "views"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"copgen.{name}")
    raise AttributeError(f"module 'copgen' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
