"""The latent transform of `copgen sample`: its kind, its weights, and the number of positives per anchor.

A random transform draws every positive from its own stream, and so does a navigator with noise. Without noise, several
positives come from a navigator and the latest snapshots of its run before it that differ from it, newest first. Other
transforms give one positive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from copgen.generators import Generator
from copgen.latents.genrep import GENREP_THRESHOLD
from copgen.latents.navigator import Navigator, load_navigator_with_header
from copgen.latents.run_files import navigator_file, walk_file
from copgen.latents.transforms import Gaussian, Identity, LatentTransform, Optimal, Random
from copgen.latents.walks import Steering, load_walk
from copgen.pairs import TransformSource
from copgen.runtime.errors import UsageError
from copgen.stages.sample.settings import SampleSettings
from copgen.storage.files import sha256_of

SNAPSHOTS = "snapshots"
SNAPSHOT = re.compile(r"samples-(\d+)\.safetensors")


@dataclass(frozen=True)
class Positives:
    """A transform for each positive of an anchor, and their entries in the plan."""

    transforms: tuple[LatentTransform, ...]
    source: TransformSource

    @property
    def navigators(self) -> list[Navigator]:
        """Those that move latents in one operation."""
        every = [transform.navigator for transform in self.transforms if isinstance(transform, Optimal)]
        return [navigator for navigator in every if navigator.fused]


def build_transform(settings: SampleSettings, G: Generator, device: torch.device) -> Positives:
    """The latent transforms of the settings.

    Raises:
        UsageError: a navigator or walk of another latent size or of another generator, or more positives than it can
            give.
        DataError: a file that fails verification.
    """
    if settings.transform == "none":
        if settings.positives > 1:
            raise UsageError(
                f"{settings.positives} positives were requested, but the transform 'none' is deterministic: they would "
                "be identical.",
                fix="Leave out --positives, or choose gaussian, gaussian-truncated, random or steering.",
            )
        return Positives((Identity(),), TransformSource(name="none"))
    if settings.transform == "optimal":
        return navigators(settings, G, device)
    assert settings.transform != "nearest"  # it finds positives by their images (nearest.py)
    first, source = drawing(settings, G, device)
    return Positives(tuple(replace(first, which=which) for which in range(settings.positives)), source)


def drawing(
    settings: SampleSettings, G: Generator, device: torch.device
) -> tuple[Gaussian | Random | Steering, TransformSource]:
    """The transform of the first positive, for random transforms, and its plan entries; errors as `build_transform`."""
    seed = settings.seed
    if settings.transform == "random":
        return Random(G.prior, seed), TransformSource(name="random")
    if settings.transform == "steering":
        walk, header = load_walk(settings.walk)
        check_belongs(header, G, f"walk {settings.walk}", train="copgen navigate --objective steering")
        if walk.form == "edits" and walk.channels != G.channels:
            raise UsageError(
                f"The walk {settings.walk} was trained on images of {walk.channels} channels; "
                f"'{G.name}' generates {G.channels}."
            )
        gain = {"rotation_gain": settings.rotation_gain} if walk.form == "edits" else {}
        source = TransformSource(
            name="steering", settings={"form": walk.form, **gain}, sha256=sha256_of(walk_file(settings.walk))
        )
        return Steering(walk.to(device), seed, gain=settings.rotation_gain), source
    bounded = settings.transform == "gaussian-truncated"
    step = Gaussian(settings.std, seed, threshold=GENREP_THRESHOLD if bounded else None)
    bound = {"threshold": GENREP_THRESHOLD, "effective_std": step.effective_std} if bounded else {}
    return step, TransformSource(name=settings.transform, settings={"std": settings.std, **bound})


def navigators(settings: SampleSettings, G: Generator, device: torch.device) -> Positives:
    """The navigator for each positive if it has noise, otherwise one snapshot of its run for each further positive."""
    file = navigator_file(settings.navigator)
    navigator, header = load_navigator_with_header(file)
    check_belongs(header, G, f"navigator {settings.navigator}")
    if navigator.noise_dim:
        moves = [Optimal(navigator.to(device), settings.seed, which) for which in range(settings.positives)]
        return Positives(tuple(moves), TransformSource(name="optimal", sha256=sha256_of(file)))
    ring: list[tuple[Path, Navigator]] = []
    for path in snapshots_before(file.parent, header):
        if len(ring) + 1 == settings.positives:
            break
        snapshot, made = load_navigator_with_header(path)
        check_belongs(made, G, f"snapshot {path}")
        if not alike(snapshot, ring[-1][1] if ring else navigator):
            ring.append((path, snapshot))
    if len(ring) + 1 < settings.positives:
        before = "its run has no snapshots before it"
        found = f"its run has {len(ring)} snapshots before it that differ from it" if ring else before
        raise UsageError(
            f"{settings.positives} positives were requested; the navigator {settings.navigator} gives one, and "
            f"{found}.",
            fix=f"Pass --positives {len(ring) + 1} or less, or train with a smaller snapshot_every (in --config) "
            "or with --noise-dim.",
        )
    hashes = {f"snapshot_{which}": sha256_of(path) for which, (path, _) in enumerate(ring, start=1)}
    moving = (navigator, *(snapshot for _, snapshot in ring))
    transforms = [Optimal(T_z.to(device), settings.seed, which) for which, T_z in enumerate(moving)]
    return Positives(tuple(transforms), TransformSource(name="optimal", settings=dict(hashes), sha256=sha256_of(file)))


def snapshots_before(run: Path, header: Mapping[str, Any]) -> list[Path]:
    """Snapshots of a run, newest first, but for those after the navigator that its stop rule chose."""
    kept: Any = header
    for name in ("made_by", "summary", "kept"):
        kept = kept.get(name) if isinstance(kept, Mapping) else None
    found = {path: SNAPSHOT.fullmatch(path.name) for path in (run / SNAPSHOTS).glob("*.safetensors")}
    samples = {path: int(match[1]) for path, match in found.items() if match}
    chosen = kept if isinstance(kept, int) else max(samples.values(), default=0)
    return sorted((path for path in samples if samples[path] <= chosen), key=samples.__getitem__, reverse=True)


def alike(one: Navigator, other: Navigator) -> bool:
    """Whether two navigators have the same weights."""
    here, there = one.state_dict(), other.state_dict()
    return here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)


def check_belongs(header: Mapping[str, Any], G: Generator, what: str, *, train: str = "copgen navigate") -> None:
    """Refuse a navigator or walk of another generator, by the hash of its weights or by its name.

    Raises:
        UsageError: with the generator it was trained on.
    """
    made_by, latent_dim = header.get("made_by"), header.get("latent_dim")
    made_for: Mapping[str, Any] = made_by if isinstance(made_by, Mapping) else {}
    # An imported one records only the name of its generator, one trained by copgen the hash of its weights.
    sha256, name = made_for.get("weights_sha256", G.weights_sha256), made_for.get("generator", G.name)
    foreign = sha256 != G.weights_sha256 or ("weights_sha256" not in made_for and name != G.name)
    if latent_dim != G.latent_dim or foreign:
        raise UsageError(
            f"The {what} was trained on generator '{made_for.get('generator', 'unknown')}' "
            f"({latent_dim} latent coordinates), not on these weights of '{G.name}' ({G.latent_dim}).",
            fix=f"Pass the generator and weights it was trained on, or train one with {train}.",
        )
