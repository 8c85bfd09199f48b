"""Out of memory: find the largest batch that fits, from the measured peaks of two small updates.

The memory of weights is constant and that of activations is proportional to the batch, so two peaks determine the rest.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from copgen.runtime import memory
from copgen.runtime.errors import EnvironmentFault

SMALL = 4  # the smaller of the two batches that are measured, unless `step` is larger
SHARE = 0.95  # of the free memory: allocators leave gaps


@contextmanager
def reported(device: torch.device) -> Iterator[None]:
    """A block that prepares a run; what does not fit into memory there does not depend on the batch.

    Raises:
        EnvironmentFault: out of memory.
    """
    try:
        yield
    except Exception as error:
        if not memory.is_out_of_memory(error):
            raise
        raise EnvironmentFault(
            f"{device} is out of memory before the first update.",
            fix="Use a smaller model, with narrower heads or a shorter queue.",
        ) from None


def explained(
    error: BaseException,
    try_update: Callable[[int], object] | None,
    device: torch.device,
    *,
    batch: int,
    world: int,
    parts: Mapping[str, int],
    remedy: str,
) -> EnvironmentFault:
    """The error to raise when out of memory, which names the largest batch that would fit, if one can be tried.

    Args:
        error: the out-of-memory error; the tensors in its frames are released.
        try_update: runs one update with the given number of rows on this process alone; None: nothing is tried.
        device: the device of the run.
        batch: the global batch.
        world: number of processes that share it.
        parts: its required divisors, by name.
        remedy: other ways to need less memory, as an imperative in lower case; may be empty, but not without
            `try_update`.
    """
    traceback.clear_frames(error.__traceback__)  # they hold the activations
    if try_update is None:
        return EnvironmentFault(
            f"{device} is out of memory with a batch of {batch:,}.", fix=f"{remedy[0].upper()}{remedy[1:]}."
        )
    step = math.lcm(1, *parts.values())
    fits = largest_batch(
        lambda rows: memory.peak_of(lambda: try_update(rows), device),
        free=memory.free(device),
        step=step // math.gcd(step, world),
    )
    size = f"Lower --batch to about {fits * world:,}" if fits else "Use a smaller model (no batch size fits)"
    return EnvironmentFault(
        f"{device} is out of memory with a batch of {batch:,}.", fix=f"{size}, or {remedy}." if remedy else f"{size}."
    )


def largest_batch(peak: Callable[[int], int | None], *, free: int | None, step: int) -> int:
    """The largest multiple of `step` whose peak is below the free memory; 0 if there is none or it is unknown.

    Args:
        peak: bytes needed by an update with the given number of rows, or None.
        free: bytes, or None.
        step: divisor of the number of rows.
    """
    small = step * math.ceil(SMALL / step)
    try:
        peak(small)  # allocates what does not depend on the batch, such as the optimizers' moments
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
