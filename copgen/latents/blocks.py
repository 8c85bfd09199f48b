"""Latent blocks: the parts of z that a hierarchical generator feeds to different layers, to move only some of them.

BigGAN and BigBiGAN split z (120) into six blocks of 20: block 0 enters the first layer, blocks 1 to 5 one residual
block each. A generator that does not split z has one block.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from copgen.runtime.errors import UsageError

Span = tuple[int, int]


def spans_of(chosen: Sequence[int] | None, sizes: Sequence[int], *, name: str) -> tuple[Span, ...] | None:
    """The coordinates [start, stop) of the chosen blocks, in order, adjacent ones merged; None for all of them.

    Args:
        chosen: numbers of blocks, from 0; None chooses all.
        sizes: coordinates in each block.
        name: the generator's name, for error messages.

    Raises:
        UsageError: no block is chosen, one is chosen twice, or one does not exist.
    """
    if chosen is None:
        return None
    if not chosen:
        raise UsageError("No latent block is chosen, so nothing would move.", fix="Omit the setting to move all.")
    for block in chosen:
        if not 0 <= block < len(sizes):
            what = f"{len(sizes)} latent blocks, 0 to {len(sizes) - 1}" if len(sizes) > 1 else "one latent block, 0"
            raise UsageError(f"There is no latent block {block} in '{name}': it has {what}.")
        if list(chosen).count(block) > 1:
            raise UsageError(f"Latent block {block} is chosen twice.")
    ends = list(itertools.accumulate(sizes, initial=0))
    spans: list[Span] = []
    for block in sorted(chosen):
        start, stop = ends[block], ends[block + 1]
        if spans and spans[-1][1] == start:
            start = spans.pop()[0]
        spans.append((start, stop))
    return None if spans == [(0, ends[-1])] else tuple(spans)


def are_spans(spans: Any, latent_dim: Any) -> bool:
    """Whether a value read from a file is a list of spans: ascending, disjoint ranges within the latent."""
    if not isinstance(latent_dim, int) or isinstance(latent_dim, bool) or not isinstance(spans, list) or not spans:
        return False
    end = 0
    for span in spans:
        if not isinstance(span, list) or len(span) != 2 or any(type(number) is not int for number in span):
            return False
        if not end <= span[0] < span[1] <= latent_dim:
            return False
        end = span[1]
    return True
