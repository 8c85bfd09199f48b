"""The transform `nearest`: the positive is the image of a pool whose features are most similar to those of the anchor.

A baseline for navigators, and what NNCLR does with the images of a queue: positives that look alike, but were sampled
independently. The pool (`copgen.latents.pool`) is the same for all anchors; similarity is the cosine in a space of
features; both images of a pair have the same condition.

Legend: N images of the pool, K anchors x (K, C, H, W) in [-1, 1], P positives, D dimension of the features.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.evaluation.neighbours import most_similar
from copgen.evaluation.spaces import FeatureSpace, check_space, open_space
from copgen.evaluation.spaces.registry import ENCODER, SPACES
from copgen.generators import Generator
from copgen.latents.pool import Pool
from copgen.pairs import TransformSource
from copgen.runtime.errors import EnvironmentFault, UsageError, nearest
from copgen.runtime.events import Events
from copgen.runtime.memory import free
from copgen.runtime.sizes import size
from copgen.stages.sample.settings import SampleSettings

LARGEST_SHARE = 0.8  # of the free memory that the features of the pool may take


@dataclass(frozen=True, eq=False)
class Found:
    """The positives of anchors, most similar first.

    Attributes:
        numbers: (K, P) int64, in the pool.
        similarity: (K, P) float32, cosines.
    """

    numbers: Tensor
    similarity: Tensor


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Finds the images of a pool that are nearest to others.

    Attributes:
        pool: the latents.
        space: the features.
        features: (N, D) of unit length, on the device of the space; None until they are computed.
    """

    pool: Pool
    space: FeatureSpace
    features: Tensor | None = None

    def unit_features(self, images: Tensor) -> Tensor:
        """(K, D) of unit length."""
        return F.normalize(self.space(images), dim=1)

    def find(self, x: Tensor, condition: Tensor | None, count: int) -> Found:
        """The `count` nearest images of the pool for each of the anchors x, among those of its condition."""
        assert self.features is not None
        h, first, stride = self.unit_features(x), self.pool.first(condition), self.pool.stride
        if first is None:
            similarity, numbers = most_similar(self.features, h, count)
            return Found(numbers, similarity)
        similarity = h.new_empty(len(h), count)
        numbers = torch.empty(len(h), count, dtype=torch.int64, device=h.device)
        for place in sorted(set(first.tolist())):
            rows = (first == place).to(h.device)
            similarity[rows], found = most_similar(self.features[place::stride], h[rows], count)
            numbers[rows] = found * stride + place
        return Found(numbers, similarity)

    def latents(self, found: Found, device: torch.device) -> list[Tensor]:
        """z' (K, dim) of each positive."""
        return [self.pool.latents(numbers, device) for numbers in found.numbers.unbind(dim=1)]

    @property
    def source(self) -> TransformSource:
        """The entries in the plan: the space without its path, and the hash of its weights."""
        hashes = [f"{name} {sha256}" for name, sha256 in sorted(self.space.inputs.items())]
        several = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
        sha256 = {0: None, 1: next(iter(self.space.inputs.values()), None)}.get(len(hashes), several)
        settings = {"features": self.space.name.partition(":")[0], "pool": self.pool.count}
        return TransformSource(name="nearest", settings=dict(settings), sha256=sha256)


def space_name(features: str) -> str:
    """The name of the feature space: the setting itself, or 'encoder:PATH' for the path of an encoder.

    Raises:
        UsageError: neither of them.
    """
    try:
        check_space(features)
    except UsageError:
        if ":" in features and features.partition(":")[0] in {name.partition(":")[0] for name in SPACES}:
            raise
        if not (Path(features).exists() or "/" in features or "." in features):
            raise UsageError(
                f"'{features}' is neither a feature space nor the path of an encoder.", fix=nearest(features, SPACES)
            ) from None
        return f"{ENCODER}:{features}"
    return features


def open_neighbours(settings: SampleSettings, G: Generator, device: torch.device, events: Events) -> Neighbours:
    """Pool and feature space, without the features.

    Raises:
        UsageError: an unknown space; conditions that have no list; fewer images of a condition than positives.
        DataError, EnvironmentFault: weights of the space are missing or fail verification, or the features would not
            fit into memory.
    """
    assert settings.features is not None
    if G.condition_kind is not None and not G.conditions:
        raise UsageError(
            f"The generator '{G.name}' draws its conditions itself, so that no pool can be made of each of them.",
            fix="Choose another --transform, such as random.",
        )
    conditions = G.condition_rule.only or tuple(range(G.conditions))
    pool = Pool(G.prior, G.latent_dim, settings.seed, settings.pool, conditions)
    if pool.fewest < settings.positives:
        each = f" of {len(conditions):,} conditions holds {pool.fewest} of each" if conditions else " is too small"
        raise UsageError(
            f"A pool of {settings.pool:,} images{each}, for {settings.positives} positives.",
            fix=f"Pass --pool {settings.positives * pool.stride} or more.",
        )
    space = open_space(space_name(settings.features), device=device, events=events)
    needed, available = 4 * pool.count * space.dim, free(device)
    if available is not None and needed > LARGEST_SHARE * available:
        raise EnvironmentFault(
            f"The features of {pool.count:,} images need {size(needed)} of memory; {size(available)} are free.",
            fix="Choose a smaller --pool, or --features of fewer dimensions.",
        )
    events.say(f"Neighbours are those under {space.text}.")
    return Neighbours(pool, space)
