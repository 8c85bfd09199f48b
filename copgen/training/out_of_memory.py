"""When the device has no memory left: which batch would have fitted, by a plan that is measured there and then.

Weights take what they take, and activations are in proportion to the batch; so the peaks of two small updates say what
any other would need.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping

import torch

from copgen.runtime import memory
from copgen.runtime.errors import EnvironmentFault

SMALL = 4  # the smaller of the two batches that are tried, or the smallest that can be
SHARE = 0.95  # of the free memory: allocators leave gaps


def explained(
    error: BaseException,
    try_update: Callable[[int], object],
    device: torch.device,
    *,
    batch: int,
    world: int,
    parts: Mapping[str, int],
    remedy: str,
) -> EnvironmentFault:
    """What to raise for a lack of memory: an error that names the largest batch that would fit.

    Args:
        error: the lack of memory; what its frames hold is released.
        try_update: does one update of this process with so many rows.
        device: where.
        batch: the global batch.
        world: processes that share it.
        parts: what has to divide it, by name.
        remedy: what needs less memory otherwise, a sentence; empty where nothing does.
    """
    traceback.clear_frames(error.__traceback__)  # they hold the activations
    step = math.lcm(1, *parts.values())
    fits = largest_batch(
        lambda rows: memory.peak_of(lambda: try_update(rows), device),
        free=memory.free(device),
        step=step // math.gcd(step, world),
    )
    size = f"The largest that would fit is about {fits * world:,}" if fits else "Not even the smallest batch fits"
    return EnvironmentFault(
        f"{device} has not enough memory for a batch of {batch:,}.", fix=f"{size}; {remedy}" if remedy else f"{size}."
    )


def largest_batch(peak: Callable[[int], int | None], *, free: int | None, step: int) -> int:
    """The largest multiple of `step` whose peak is below the free memory, 0 if there is none or it cannot be said.

    Args:
        peak: bytes that an update with so many rows takes, or None.
        free: bytes, or None.
        step: what has to divide the rows.
    """
    small = step * math.ceil(SMALL / step)
    try:
        peak(small)  # what is made once and kept, such as the optimizers' moments, is not in proportion to the batch
        first, second = peak(small), peak(2 * small)
    except Exception as error:
        if memory.is_out_of_memory(error):
            return 0
        raise
    if first is None or second is None or free is None:
        return 0
    each = max((second - first) / small, 1.0)
    rows = small + (SHARE * free - first) / each
    return max(0, int(rows) // step * step)
