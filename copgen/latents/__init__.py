"""The latent space: priors, the navigator T_z and the other transforms, and the distance d(z, z')."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.latents.prior import Prior
from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.latents.distance import displacement
    from copgen.latents.navigator import Navigator, load_navigator
    from copgen.latents.operations import constrain, draw_latents, navigate
    from copgen.latents.transforms import Gaussian, Identity, LatentTransform, Optimal, Random
    from copgen.latents.walks import Steering, Walk, load_walk

__all__ = [
    "Gaussian",
    "Identity",
    "LatentTransform",
    "Navigator",
    "Optimal",
    "Prior",
    "Random",
    "Steering",
    "Walk",
    "constrain",
    "displacement",
    "draw_latents",
    "load_navigator",
    "load_walk",
    "navigate",
]
__getattr__, __dir__ = later.names(
    __name__,
    {
        "distance": ["displacement"],
        "navigator": ["Navigator", "load_navigator"],
        "operations": ["constrain", "draw_latents", "navigate"],
        "transforms": ["Gaussian", "Identity", "LatentTransform", "Optimal", "Random"],
        "walks": ["Steering", "Walk", "load_walk"],
    },
)
