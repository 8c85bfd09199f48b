"""The tile sizes of the navigator's kernel, by the device and the number of rows.

Every tile compiles without register spills and fits the shared memory of its devices, with every version of Triton from
3.6 (torch 2.11) to 3.9; `copgen.kernels.aot_navigate` checks it without a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import triton

from .launch_grid import processors
from .tile_table import architecture_of, has_little_memory

WIDEST = 128  # coordinates and hidden units
NARROWEST = 16  # depth of a matrix instruction
Kind = Literal["hopper", "ampere", "little memory"]


@dataclass(frozen=True)
class Tile:
    """Rows of a tile, warps of a program, and the hidden units that it holds at a time."""

    rows: int
    warps: int
    units: int = WIDEST


# From many rows to few. A matrix instruction of Hopper and of newer datacentre GPUs has 64 rows, and reads the layers
# from shared memory; of others, it reads them from registers. A tile for few rows leaves fewer processors idle.
TILES: dict[Kind, tuple[Tile, ...]] = {
    "hopper": (Tile(128, 8), Tile(64, 4), Tile(16, 8)),
    "ampere": (Tile(32, 8), Tile(16, 8)),
    "little memory": (Tile(32, 8, units=32), Tile(16, 8, units=32)),
}


def kind_of(device: torch.device) -> Kind:
    """The row of the table for a device; Hopper's for the interpreter."""
    if has_little_memory(device):
        return "little memory"
    return "hopper" if architecture_of(device) >= 90 else "ampere"


def tile_for(device: torch.device, rows: int) -> Tile:
    """The largest tile of which every processor has one, or the smallest."""
    tiles = TILES[kind_of(device)]
    return next((tile for tile in tiles if rows >= tile.rows * processors(device)), tiles[-1])


def block_of(width: int) -> int:
    """A width of layers rounded up to one that matrix instructions support."""
    return max(NARROWEST, int(triton.next_power_of_2(width)))
