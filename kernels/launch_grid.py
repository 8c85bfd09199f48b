"""How a batch is distributed over the device."""

from __future__ import annotations

import functools

import torch
import triton
from torch import Tensor

LOWEST_SHARED_SHIFT = 0.025  # |s| <= 1 / tau = 40: exponentials and their sums fit float32 with a wide margin
NARROWEST = 16  # depth of a matrix instruction
PROCESSORS_WITHOUT_A_DEVICE = 6  # for Triton's interpreter
TILES_PER_SPLIT = {"forward": 2, "backward": 8}  # at least
MOST_SPLITS = 16


def shares_shift(temperature: float | Tensor, bounded: bool) -> bool:
    """Whether exponentials of logits need no maximum per row; a learnt temperature always does, as it is not read."""
    return bounded and not isinstance(temperature, Tensor) and temperature > LOWEST_SHARED_SHIFT


def width_of(D: int) -> int:
    """D rounded up to a width that tiles support."""
    return max(NARROWEST, int(triton.next_power_of_2(D)))


@functools.cache
def processors(device: torch.device) -> int:
    """How many programs run at the same time, one per multiprocessor."""
    if device.type != "cuda":
        return PROCESSORS_WITHOUT_A_DEVICE
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def forward_splits(device: torch.device, row_tiles: int, column_tiles: int) -> int:
    """The number of splits of the columns with which one wave of programs fills the device."""
    wanted = processors(device) // row_tiles
    return max(1, min(wanted, column_tiles // TILES_PER_SPLIT["forward"], MOST_SPLITS))


def backward_splits(device: torch.device, row_tiles: int, column_tiles: int) -> int:
    """The same for the gradients, where every split needs a buffer of their size, and a small batch another launch."""
    if row_tiles >= processors(device):
        return 1
    wanted = triton.cdiv(2 * processors(device), row_tiles)
    return int(max(1, min(wanted, column_tiles // TILES_PER_SPLIT["backward"], MOST_SPLITS)))
