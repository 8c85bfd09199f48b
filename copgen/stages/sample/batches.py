"""The pairs of a shard, batch by batch: z -> z' -> (x, x'), and again z -> z' for draws that the filter rejects.

Attempt a of pair k uses the random numbers of row k + a 2^40, which no run reaches as a row index. So a pair does not
depend on which other pairs are rejected, except for the low bits that depend on the number of images in a batch of G,
which is a function of the plan too. All attempts use the condition of row k: the filter does not change how often a
class occurs.

Legend: N pairs, P positives; z, z' (N, dim) latents; x, x' (N, C, H, W) images in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from copgen.latents.distance import displacement
from copgen.pairs import FilterRules, Pair, Plan
from copgen.pairs.pixels import to_uint8
from copgen.stages.sample.pair_source import Source
from copgen.stages.sample.quality_filter import give_up, refused, similarities

ATTEMPT = 2**40  # rows from one attempt to the next: above the largest count that a run can have
NO_RULES = FilterRules(attempts=1)


@dataclass(frozen=True)
class Draws:
    """Draws that the rules on d accept.

    Attributes:
        z: (N, dim).
        z_pos: z' (N, dim) of each positive; z itself if the transform is none.
        d: (N, P), on the CPU, as in the metadata.
        rejected: (N,) number of rejected draws before these, on the CPU.
    """

    z: Tensor
    z_pos: list[Tensor]
    d: Tensor
    rejected: Tensor


@torch.no_grad()
def make_batches(source: Source, plan: Plan, number: int) -> Iterator[list[Pair]]:
    """The pairs of shard `number`, in batches of the plan's size.

    Raises:
        UsageError: a pair had as many draws rejected as the plan allows.
        DataError: an image with non-finite values.
    """
    indices = plan.shard_range(number)
    for start in range(indices.start, indices.stop, plan.batch):
        yield make_pairs(source, plan, range(start, min(start + plan.batch, indices.stop)))


def make_pairs(source: Source, plan: Plan, rows: range) -> list[Pair]:
    """The pairs of these rows, in their order."""
    G, rules = source.G, plan.filter or NO_RULES
    condition = G.sample_condition(rows, plan.seed)
    known = G.describe_condition(condition) if condition is not None else [{}] * len(rows)
    rejected = torch.zeros(len(rows), dtype=torch.int64)
    made: dict[int, Pair] = {}
    pending = torch.arange(len(rows))
    while len(pending):
        held = _of(condition, pending)
        draws = draw_latents(source, plan, rows.start + pending, held, rejected[pending])
        x = source.images(draws.z, held)
        x_pos = [x if z_pos is draws.z else source.images(z_pos, held) for z_pos in draws.z_pos]
        measured = {"d": draws.d}
        again = torch.zeros(len(pending), dtype=torch.bool)
        if source.encoder is not None:
            measured["similarity"] = similarities(source.encoder, x, x_pos)
            again = refused(measured["similarity"], rules.min_similarity, rules.max_similarity)
        anchors, *several = (_pixels(image, plan) for image in (x, *x_pos))
        for at in (~again).nonzero()[:, 0].tolist():
            place, count = int(pending[at]), int(draws.rejected[at])
            metadata = {"index": rows[place], **known[place]}
            for name, values in measured.items():
                metadata |= described(name, values[at].tolist())
            if plan.filter:
                metadata["rejected"] = count
            made[place] = Pair(rows[place], anchors[at], tuple(image[at] for image in several), metadata, count)
        rejected[pending] = draws.rejected + again
        pending = pending[again]
        if len(pending):
            left = measured["similarity"][again]
            give_up(rules, rule="similarity", rows=rows.start + pending, rejected=rejected[pending], values=left)
    return [made[place] for place in range(len(rows))]


def draw_latents(source: Source, plan: Plan, rows: Tensor, condition: Tensor | None, rejected: Tensor) -> Draws:
    """Latents of the pairs `rows` (N,): the first draws after `rejected` (N,) that the rules on d accept.

    This needs no images, so G runs on whole batches whatever the rules on d reject.
    """
    rules = plan.filter or NO_RULES
    drawn = _draw(source, plan, rows, condition, rejected)
    while bool((again := refused(drawn.d, rules.min_d, rules.max_d)).any()):
        rejected = drawn.rejected[again] + 1
        give_up(rules, rule="d", rows=rows[again], rejected=rejected, values=drawn.d[again])
        places = again.nonzero()[:, 0]
        new = _draw(source, plan, rows[again], _of(condition, places), rejected)
        for held, other in zip((drawn.z, *drawn.z_pos), (new.z, *new.z_pos), strict=True):
            held[places.to(held.device)] = other
        drawn.d[again], drawn.rejected[again] = new.d, rejected
    return drawn


def _draw(source: Source, plan: Plan, rows: Tensor, condition: Tensor | None, rejected: Tensor) -> Draws:
    """The draw of each row after its rejected ones."""
    numbers = rows + rejected * ATTEMPT
    z = source.G.sample_prior(numbers, plan.seed)
    z_pos = [transform(z, condition, numbers) for transform in source.positives.transforms]
    d = torch.stack([displacement(z, moved).double().cpu() for moved in z_pos], dim=1)
    return Draws(z, z_pos, d.round(decimals=6), rejected)


def _pixels(images: Tensor, plan: Plan) -> Tensor:
    """uint8 on the CPU, channels last, as image encoders expect; converted on the device, which is faster."""
    levels = to_uint8(images, rounding=plan.rounding)
    return levels.contiguous(memory_format=torch.channels_last).cpu()


def _of(condition: Tensor | None, places: Tensor) -> Tensor | None:
    """The conditions at some positions."""
    return None if condition is None else condition[places.to(condition.device)]


def described(name: str, values: Sequence[float]) -> dict[str, Any]:
    """Metadata entries of a value per positive: the first has the plain name, like its image."""
    several = [round(value, 6) for value in values]
    return {name: several[0], **({f"{name}_positives": several} if len(several) > 1 else {})}
