"""T_x, the data-space augmentation: random per image, batched, differentiable in the images.

v = copgen.views.augment(x, copgen.views.policy("simclr"), seed=0, rows=range(16), stream="view/anchor")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.views.augmentation import apply, augment, plain
    from copgen.views.drawing import Draw, draw
    from copgen.views.policies import Policy, names, policy

__all__ = ["Draw", "Policy", "apply", "augment", "draw", "names", "plain", "policy"]
_HOMES = {
    **dict.fromkeys(("apply", "augment", "plain"), "augmentation"),
    **dict.fromkeys(("Draw", "draw"), "drawing"),
    **dict.fromkeys(("Policy", "names", "policy"), "policies"),
}


def __getattr__(name: str) -> Any:
    return later.attribute(__name__, _HOMES, name)
