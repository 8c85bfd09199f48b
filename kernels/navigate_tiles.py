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
Kind = Literal["blackwell", "hopper", "ampere", "little memory"]


@dataclass(frozen=True)
class Tile:
    """Rows of a tile, warps of a program, and the hidden units that it holds at a time."""

    rows: int
    warps: int
    units: int = WIDEST


# From many rows to few. A matrix instruction of Hopper and of newer datacentre GPUs has 64 rows, and reads the layers
# from shared memory; of others, it reads them from registers. A tile for few rows leaves fewer processors idle.
# On Blackwell 64 rows spill with Triton 3.8 or 3.9, by 4 warps or 8; on Hopper 4 warps do with 3.6; on Ampere 32 rows
# do with 3.9 and 128 units.
TILES: dict[Kind, tuple[Tile, ...]] = {
    "blackwell": (Tile(128, 8), Tile(16, 8)),
    "hopper": (Tile(128, 8), Tile(64, 8), Tile(16, 8)),
    "ampere": (Tile(32, 8, units=64), Tile(16, 8)),
    "little memory": (Tile(32, 8, units=32), Tile(16, 8, units=32)),
}

# With 3.6 the products need 832 columns of Blackwell's tensor memory, which has 512; with 3.8 they need 256.
TRITON_FOR_BLACKWELL = (3, 8)


def kind_of(architecture: int, *, little_memory: bool) -> Kind:
    """The row of the table for an architecture, with this version of Triton."""
    if little_memory:
        return "little memory"
    if architecture >= 100:
        version = tuple(int(part) for part in triton.__version__.split(".")[:2])
        return "blackwell" if version >= TRITON_FOR_BLACKWELL else "ampere"
    return "hopper" if architecture >= 90 else "ampere"


def tile_for(device: torch.device, rows: int) -> Tile:
    """The largest tile of which every processor has one, or the smallest; Hopper's for the interpreter."""
    tiles = TILES[kind_of(architecture_of(device), little_memory=has_little_memory(device))]
    return next((tile for tile in tiles if rows >= tile.rows * processors(device)), tiles[-1])


def block_of(width: int) -> int:
    """A width of layers rounded up to one that matrix instructions support."""
    return max(NARROWEST, int(triton.next_power_of_2(width)))
