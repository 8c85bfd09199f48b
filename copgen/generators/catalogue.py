"""The generators copgen knows by name, described: what is published of each, its terms, its recipe.

Nothing here imports torch, so that a run can be planned without; `copgen.generators.registry` loads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from copgen.generators import public_files
from copgen.generators.public_files import PublicFile

_NO_LICENCE = "none stated by the authors"
_NON_COMMERCIAL = "CC BY-NC 4.0: for non-commercial use only"


@dataclass(frozen=True, kw_only=True)
class Known:
    """A generator that is known by name.

    Attributes:
        about: a line about it.
        recipe: its recipe's name.
        files: what was published; of several for one role, any will do.
        licence: the terms of its weights.
        embedded: the weights file that comes with copgen.
        has_priors: whether the distribution of z can be chosen.
    """

    about: str
    recipe: str
    files: tuple[PublicFile, ...] = ()
    licence: str = ""
    embedded: str | None = None
    has_priors: bool = True


def _biggan_deep(resolution: int) -> Known:
    return Known(
        about=f"BigGAN-deep, class-conditional ImageNet at {resolution}x{resolution}",
        recipe="biggan-deep-128",
        files=public_files.BIGGAN_DEEP_128 if resolution == 128 else public_files.biggan_deep(resolution),
        licence=_NO_LICENCE,
    )


KNOWN = {
    "digits": Known(
        about="Residual Flow on scikit-learn's 8x8 digits; the weights come with copgen",
        recipe="digits",
        licence="that of copgen",
        embedded="digits.safetensors",
        has_priors=False,
    ),
    "bigbigan": Known(
        about="BigBiGAN, unconditional ImageNet at 128x128",
        recipe="bigbigan",
        files=public_files.BIGBIGAN,
        licence=_NO_LICENCE,
    ),
    "biggan-deep-128": _biggan_deep(128),
    "biggan-deep-256": _biggan_deep(256),
    "biggan-deep-512": _biggan_deep(512),
    "icgan-128": Known(
        about="IC-GAN on BigGAN, ImageNet at 128x128, conditioned on instances",
        recipe="icgan-128",
        files=public_files.ICGAN_128,
        licence=_NON_COMMERCIAL,
    ),
    "residual-flow-mnist": Known(
        about="Residual Flow on MNIST, 28x28",
        recipe="residual-flow-mnist",
        files=public_files.RESIDUAL_FLOW_MNIST,
        licence="MIT, the terms of its repository",
        has_priors=False,
    ),
}


def packaged(file: str) -> Path:
    """A file that comes with copgen, in the folder of its weights."""
    return Path(str(resources.files("copgen") / "generators" / "weights" / file))
