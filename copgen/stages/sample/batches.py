"""The pairs of a shard, batch by batch: z -> z' -> (x, x'), and again z -> z' for draws that the filter rejects.

`nearest` is z -> x -> z' -> x': it looks at the anchor.

Attempt a of pair k uses the random numbers of row k + a 2^40, which no run reaches as a row index. So a pair does not
depend on which other pairs are rejected, except for the low bits that depend on the number of images in a batch of G,
which is a function of the plan too. All attempts use the condition of row k: the filter does not change how often a
class occurs.

Making a batch only queues work on the device; whoever takes its pairs waits for them (queued_pairs.py). So the device
continues with the next batch meanwhile. Only rules on d or similarity read the values that they bound.

Legend: N pairs, P positives; z, z' (N, dim) latents; x, x' (N, C, H, W) images in [-1, 1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from copgen.latents.distance import displacement
from copgen.pairs import FilterRules, Plan
from copgen.pairs.pixels import levels
from copgen.runtime.device_copies import Arrival, to_host
from copgen.stages.sample.nearest import Found
from copgen.stages.sample.pair_source import Source
from copgen.stages.sample.quality_filter import give_up, refused, similarities
from copgen.stages.sample.queued_pairs import QueuedPairs, refuse_not_finite

ATTEMPT = 2**40  # rows from one attempt to the next: above the largest count that a run can have
NO_RULES = FilterRules(attempts=1)


@dataclass(frozen=True)
class Draws:
    """Draws that the rules on d accept.

    Attributes:
        z: (N, dim).
        z_pos: z' (N, dim) of each positive; z itself if the transform is none.
        d: (N, P) float64, as in the metadata; on the CPU if rules bound it, else on the device.
        rejected: (N,) number of rejected draws before these, on the CPU.
        x: (N, C, H, W), and what was found in the pool; for `nearest` only.
    """

    z: Tensor
    z_pos: list[Tensor]
    d: Tensor
    rejected: Tensor
    x: Tensor | None = None
    found: Found | None = None


@dataclass(frozen=True)
class Made:
    """What G makes of draws, on the device.

    Attributes:
        images: of the anchors and of each positive, uint8 (N, C, H, W).
        finite: (N, 1 + P) whether each of them has finite values.
        d, rejected: as in `Draws`.
        similarity: (N, P) float64 on the CPU, as in the metadata; None without an encoder.
        found: in the pool, for `nearest` only.
    """

    images: list[Tensor]
    finite: Tensor
    d: Tensor
    rejected: Tensor
    similarity: Tensor | None
    found: Found | None


@torch.no_grad()
def make_batches(source: Source, plan: Plan, number: int) -> Iterator[QueuedPairs]:
    """The pairs of shard `number`, in batches of the plan's size.

    Raises:
        UsageError: a pair had as many draws rejected as the plan allows.
        DataError: an image with non-finite values; raised where its batch is taken.
    """
    indices = plan.shard_range(number)
    for start in range(indices.start, indices.stop, plan.batch):
        yield make_pairs(source, plan, range(start, min(start + plan.batch, indices.stop)))


def make_pairs(source: Source, plan: Plan, rows: range) -> QueuedPairs:
    """The pairs of these rows, in their order."""
    G, rules = source.G, plan.filter or NO_RULES
    condition = G.sample_condition(rows, plan.seed)
    numbers = torch.arange(rows.start, rows.stop)
    made = make(source, plan, numbers, condition, torch.zeros(len(rows), dtype=torch.int64))
    again = torch.arange(len(rows))
    while made.similarity is not None:
        again = again[refused(made.similarity[again], rules.min_similarity, rules.max_similarity)]
        if not len(again):
            break
        rejected, left = made.rejected[again] + 1, made.similarity[again]
        refuse_not_finite(made.finite.cpu(), rows)
        give_up(rules, rule="similarity", rows=numbers[again], rejected=rejected, values=left)
        replace(made, again, make(source, plan, numbers[again], _of(condition, again), rejected))
    return QueuedPairs(
        G=G,
        rows=rows,
        condition=None if condition is None else to_host(condition),
        images=[to_host(images) for images in made.images],
        finite=to_host(made.finite),
        d=to_host(made.d),
        similarity=made.similarity,
        rejected=made.rejected if plan.filter else None,
        found=None if made.found is None else Found(to_host(made.found.numbers), to_host(made.found.similarity)),
        arrival=Arrival(made.finite.device),
    )


def make(source: Source, plan: Plan, rows: Tensor, condition: Tensor | None, rejected: Tensor) -> Made:
    """The images of the pairs `rows` (N,), whatever their similarity; arguments as `draw_latents`."""
    draws = draw_latents(source, plan, rows, condition, rejected)
    x = source.images(draws.z, condition) if draws.x is None else draws.x
    x_pos = [x if z_pos is draws.z else source.images(z_pos, condition) for z_pos in draws.z_pos]
    return Made(
        [_pixels(images, plan) for images in (x, *x_pos)],
        torch.stack([torch.isfinite(images).all(dim=(1, 2, 3)) for images in (x, *x_pos)], dim=1),
        draws.d,
        draws.rejected,
        similarities(source.encoder, x, x_pos) if source.encoder is not None else None,
        draws.found,
    )


def replace(made: Made, places: Tensor, other: Made) -> None:
    """Put other pairs at some places."""
    several = zip(made.images, other.images, strict=True)
    for held, new in (*several, (made.finite, other.finite), (made.d, other.d), (made.rejected, other.rejected)):
        held[places.to(held.device)] = new
    if made.similarity is not None and other.similarity is not None:
        made.similarity[places] = other.similarity
    replace_found(made.found, places, other.found)


def replace_found(found: Found | None, places: Tensor, other: Found | None) -> None:
    """The same of what was found in the pool."""
    if found is not None and other is not None:
        for held, new in (found.numbers, other.numbers), (found.similarity, other.similarity):
            held[places.to(held.device)] = new


def draw_latents(source: Source, plan: Plan, rows: Tensor, condition: Tensor | None, rejected: Tensor) -> Draws:
    """Latents of the pairs `rows` (N,): the first draws after `rejected` (N,) that the rules on d accept.

    But for `nearest` this needs no images, so G runs on whole batches whatever the rules on d reject.
    """
    rules = plan.filter or NO_RULES
    drawn = _draw(source, plan, rows, condition, rejected)
    if rules.min_d is None and rules.max_d is None:
        return drawn
    drawn = dataclasses.replace(drawn, d=_read(drawn.d))
    while bool((again := refused(drawn.d, rules.min_d, rules.max_d)).any()):
        rejected = drawn.rejected[again] + 1
        give_up(rules, rule="d", rows=rows[again], rejected=rejected, values=drawn.d[again])
        places = again.nonzero()[:, 0]
        new = _draw(source, plan, rows[again], _of(condition, places), rejected)
        for held, other in zip((drawn.z, *drawn.z_pos), (new.z, *new.z_pos), strict=True):
            held[places.to(held.device)] = other
        if drawn.x is not None and new.x is not None:
            drawn.x[places.to(drawn.x.device)] = new.x
        replace_found(drawn.found, places, new.found)
        drawn.d[again], drawn.rejected[again] = _read(new.d), rejected
    return drawn


def _draw(source: Source, plan: Plan, rows: Tensor, condition: Tensor | None, rejected: Tensor) -> Draws:
    """The draw of each row after its rejected ones."""
    numbers = rows + rejected * ATTEMPT
    z = source.G.sample_prior(numbers, plan.seed)
    x, found = None, None
    if source.neighbours is None:
        z_pos = [transform(z, condition, numbers) for transform in source.positives.transforms]
    else:
        x = source.images(z, condition)
        found = source.neighbours.find(x, condition, plan.positives)
        z_pos = source.neighbours.latents(found, z.device)
    d = torch.stack([displacement(z, moved).double() for moved in z_pos], dim=1)
    return Draws(z, z_pos, d, rejected, x, found)


def _read(d: Tensor) -> Tensor:
    """On the CPU, rounded as in the metadata: the rules hold for what a reader sees."""
    return d.cpu().round(decimals=6)


def _pixels(images: Tensor, plan: Plan) -> Tensor:
    """uint8, channels last, as image encoders expect; converted on the device, which is faster."""
    return levels(images, rounding=plan.rounding).contiguous(memory_format=torch.channels_last)


def _of(condition: Tensor | None, places: Tensor) -> Tensor | None:
    """The conditions at some positions."""
    return None if condition is None else condition[places.to(condition.device)]
