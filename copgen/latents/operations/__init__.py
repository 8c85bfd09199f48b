"""Operations on batches of latents, each with a native implementation and a plain PyTorch reference."""

from copgen.latents.operations.constrain import Constrained, constrain
from copgen.latents.operations.draw_latents import draw_latents
from copgen.latents.operations.navigate import Moved, navigate
from copgen.latents.operations.shift import Shift

__all__ = ["Constrained", "Moved", "Shift", "constrain", "draw_latents", "navigate"]
