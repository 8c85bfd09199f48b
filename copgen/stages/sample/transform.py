"""The latent transform of `copgen sample`: which one, with which weights, and how many positives it gives an anchor.

A transform that draws gives every positive from a stream of its own. A navigator draws nothing: several positives come
from it and the latest snapshots of its run that differ from it, newest first. Others give one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from copgen import generators
from copgen.latents.genrep import GENREP_THRESHOLD
from copgen.latents.navigator import Navigator, load_navigator_with_header
from copgen.latents.run_files import navigator_file
from copgen.latents.steering import Steering
from copgen.latents.transforms import Gaussian, Identity, LatentTransform, Optimal, Random
from copgen.latents.walks import load_walk
from copgen.pairs import TransformSource
from copgen.runtime.errors import UsageError
from copgen.stages.sample.transform_settings import TransformChoice, check_belongs, source_of

SNAPSHOTS = "snapshots"


@dataclass(frozen=True)
class Positives:
    """A transform for each positive of an anchor, and what the plan says of them."""

    transforms: tuple[LatentTransform, ...]
    source: TransformSource


def build_transform(settings: TransformChoice, G: generators.Generator, device: torch.device) -> Positives:
    """The latent transforms of the settings.

    Raises:
        UsageError: a navigator or walk of another latent size or of another generator, or more positives than there
            are different ones.
        DataError: a file that fails verification.
    """
    seed = settings.seed
    if settings.transform == "none":
        return Positives((Identity(),), source_of(settings, G.description))
    if settings.transform == "optimal":
        return navigators(settings, G, device)
    first: Gaussian | Random | Steering
    if settings.transform == "random":
        first = Random(G.prior, seed)
    elif settings.transform == "steering":
        first = Steering(load_walk(settings.walk)[0].to(device), seed, gain=settings.rotation_gain)
    else:
        truncated = settings.transform == "gaussian-truncated"
        first = Gaussian(settings.std, seed, threshold=GENREP_THRESHOLD if truncated else None)
    transforms = tuple(replace(first, which=which) for which in range(settings.positives))
    return Positives(transforms, source_of(settings, G.description))


def navigators(settings: TransformChoice, G: generators.Generator, device: torch.device) -> Positives:
    """The navigator, and as many of its run's snapshots as there are further positives."""
    navigator, header = load_navigator_with_header(settings.navigator)
    check_belongs(header, G.description, f"navigator {settings.navigator}")
    ring: list[tuple[Path, Navigator]] = []
    beside = navigator_file(settings.navigator).parent / SNAPSHOTS
    for path in sorted(beside.glob("*.safetensors"), reverse=True):
        if len(ring) + 1 == settings.positives:
            break
        snapshot, made = load_navigator_with_header(path)
        check_belongs(made, G.description, f"snapshot {path}")
        if not alike(snapshot, ring[-1][1] if ring else navigator):
            ring.append((path, snapshot))
    if len(ring) + 1 < settings.positives:
        found = f"{len(ring)} snapshots that differ from it lie beside it" if ring else "no snapshots lie beside it"
        raise UsageError(
            f"{settings.positives} positives were asked for, but the navigator {settings.navigator} draws nothing, and "
            f"{found}.",
            fix=f"Ask for at most {len(ring) + 1}, or train with a smaller snapshot_every (in --config).",
        )
    transforms = (Optimal(navigator.to(device)), *(Optimal(snapshot.to(device)) for _, snapshot in ring))
    return Positives(transforms, source_of(settings, G.description, [path for path, _ in ring]))


def alike(one: Navigator, other: Navigator) -> bool:
    """Whether two navigators have the same weights."""
    here, there = one.state_dict(), other.state_dict()
    return here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)
