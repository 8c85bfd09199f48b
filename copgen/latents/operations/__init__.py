"""What is done to batches of latents, each by one operation with a native implementation and a plain reference."""

from copgen.latents.operations.constrain import Constrained, constrain
from copgen.latents.operations.draw_latents import draw_latents
from copgen.latents.operations.navigate import Moved, navigate
from copgen.latents.operations.shift import Shift

__all__ = ["Constrained", "Moved", "Shift", "constrain", "draw_latents", "navigate"]
