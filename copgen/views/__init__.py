"""T_x, the data-space augmentation: random per image, batched, differentiable in the images.

v = copgen.views.augment(x, copgen.views.policy("simclr"), seed=0, rows=range(16), stream="view/anchor")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.views.augmentation import apply, augment, check_differentiable, plain
    from copgen.views.drawing import Draw, draw
    from copgen.views.each import apply_each, augment_each
    from copgen.views.policies import Policy, names, policy

__all__ = [
    "Draw",
    "Policy",
    "apply",
    "apply_each",
    "augment",
    "augment_each",
    "check_differentiable",
    "draw",
    "names",
    "plain",
    "policy",
]
__getattr__, __dir__ = later.names(
    __name__,
    {
        "augmentation": ["apply", "augment", "check_differentiable", "plain"],
        "drawing": ["Draw", "draw"],
        "each": ["apply_each", "augment_each"],
        "policies": ["Policy", "names", "policy"],
    },
)
