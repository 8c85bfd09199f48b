"""How a batch is spread over the device."""

from __future__ import annotations

import functools

import torch
import triton
from torch import Tensor

LOWEST_SHARED_SHIFT = 0.025  # |s| <= 1 / tau = 40: exponentials and their sums are far inside float32
NARROWEST = 16  # a matrix instruction's depth
PROCESSORS_WITHOUT_A_DEVICE = 6  # of the interpreter
TILES_PER_SPLIT = {"forward": 2, "backward": 8}  # at least
MOST_SPLITS = 16


def shares_shift(temperature: float | Tensor, bounded: bool) -> bool:
    """Whether exponentials of logits can be taken as they are; not of a learnt temperature, which nobody has seen."""
    return bounded and not isinstance(temperature, Tensor) and temperature > LOWEST_SHARED_SHIFT


def width_of(D: int) -> int:
    """D rounded up to what a tile can have."""
    return max(NARROWEST, int(triton.next_power_of_2(D)))


@functools.cache
def processors(device: torch.device) -> int:
    """How many programs run at the same time, one for each processor."""
    if device.type != "cuda":
        return PROCESSORS_WITHOUT_A_DEVICE
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def forward_splits(device: torch.device, row_tiles: int, column_tiles: int) -> int:
    """Into how many parts the columns are cut, so that one wave of programs fills the device."""
    wanted = processors(device) // row_tiles
    return max(1, min(wanted, column_tiles // TILES_PER_SPLIT["forward"], MOST_SPLITS))


def backward_splits(device: torch.device, row_tiles: int, column_tiles: int) -> int:
    """The same for the gradients, where every split costs a buffer of their size and a small batch a further launch."""
    if row_tiles >= processors(device):
        return 1
    wanted = triton.cdiv(2 * processors(device), row_tiles)
    return int(max(1, min(wanted, column_tiles // TILES_PER_SPLIT["backward"], MOST_SPLITS)))
