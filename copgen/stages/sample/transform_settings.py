"""The latent transform of `copgen sample` by name, and what the plan says of it; `latent_transform` builds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from copgen.generators.description import Description
from copgen.generators.settings import GeneratorChoice
from copgen.latents.genrep import GENREP_GAIN, GENREP_THRESHOLD
from copgen.latents.prior import truncated_std
from copgen.latents.run_files import navigator_file, walk_file
from copgen.pairs import TransformSource
from copgen.runtime.errors import UsageError
from copgen.storage.files import sha256_of
from copgen.storage.tensor_header import read_header

Name = Literal["none", "gaussian", "gaussian-truncated", "random", "steering", "optimal"]


class TransformChoice(GeneratorChoice):
    """A latent transform of a generator."""

    seed: int = Field(default=0, ge=0, description="decides every random number")
    transform: Name = Field(
        default="optimal",
        description="how z' comes from z: not at all, by a normal step or one truncated at 2 std, anew from the prior, "
        "by a steering walk, or by a navigator",
    )
    std: float = Field(
        default=0.2,
        gt=0,
        description="standard deviation of the gaussian step, before truncation (GenRep, BigBiGAN: 0.2, truncated)",
    )
    navigator: Path = Field(default=Path("runs/navigate"), description="run folder or file, for transform = optimal")
    walk: Path = Field(default=Path("runs/steering"), description="run folder or file, for transform = steering")
    rotation_gain: float = Field(
        default=GENREP_GAIN, ge=0, description="factor on the 3-D rotation of transform = steering (GenRep: 5)"
    )
    positives: int = Field(default=1, ge=1, le=99, description="positives per anchor (GenRep tried 1, 5 and 20)")


def source_of(settings: TransformChoice, G: Description, snapshots: Sequence[Path] = ()) -> TransformSource:
    """What the plan says of the transform; of a navigator or walk the header alone is read.

    Args:
        settings: which one.
        G: the generator it is for.
        snapshots: of the navigator's run, which give its further positives.

    Raises:
        UsageError: a navigator or walk of another latent size or of another generator, or several positives of none.
        DataError: a file that is none of copgen's.
    """
    if settings.transform == "none":
        if settings.positives > 1:
            raise UsageError(
                f"{settings.positives} positives were asked for, but the transform 'none' draws nothing: they would "
                "all be alike.",
                fix="Leave out --positives, or choose gaussian, gaussian-truncated, random or steering.",
            )
        return TransformSource(name="none")
    if settings.transform == "random":
        return TransformSource(name="random")
    if settings.transform == "optimal":
        file = navigator_file(settings.navigator)
        check_belongs(read_header(file, kind="navigator"), G, f"navigator {settings.navigator}")
        hashes = {f"snapshot_{which}": sha256_of(path) for which, path in enumerate(snapshots, start=1)}
        return TransformSource(name="optimal", settings=dict(hashes), sha256=sha256_of(file))
    if settings.transform == "steering":
        file = walk_file(settings.walk)
        header = read_header(file, kind="walk")
        check_belongs(header, G, f"walk {settings.walk}", train="copgen navigate --objective steering")
        form, channels = str(header.get("form")), header.get("channels")
        if form == "edits" and channels != G.channels:
            raise UsageError(f"The walk {settings.walk} is for images of {channels} channels, not {G.channels}.")
        gain = {"rotation_gain": settings.rotation_gain} if form == "edits" else {}
        return TransformSource(name="steering", settings={"form": form, **gain}, sha256=sha256_of(file))
    bound = {}
    if settings.transform == "gaussian-truncated":
        effective = settings.std * truncated_std(GENREP_THRESHOLD)
        bound = {"threshold": GENREP_THRESHOLD, "effective_std": effective}
    return TransformSource(name=settings.transform, settings={"std": settings.std, **bound})


def check_belongs(header: Mapping[str, Any], G: Description, what: str, *, train: str = "copgen navigate") -> None:
    """Refuse a navigator or walk that was made for another generator, by the hash of its weights or by its name.

    Raises:
        UsageError: with the generator it was made for.
    """
    made_by, latent_dim = header.get("made_by"), header.get("latent_dim")
    made_for: Mapping[str, Any] = made_by if isinstance(made_by, Mapping) else {}
    # An imported one names its generator alone, one that was trained here the very weights.
    sha256, name = made_for.get("weights_sha256", G.weights_sha256), made_for.get("generator", G.name)
    foreign = sha256 != G.weights_sha256 or ("weights_sha256" not in made_for and name != G.name)
    if latent_dim != G.latent_dim or foreign:
        raise UsageError(
            f"The {what} was trained on generator '{made_for.get('generator', 'unknown')}' "
            f"({latent_dim} latent coordinates), not on these weights of '{G.name}' ({G.latent_dim}).",
            fix=f"Name the generator and weights it was trained on, or train one: {train}.",
        )
