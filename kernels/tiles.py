"""Which tiles the kernels use: a table by architecture, operand and width, and no search at run time.

Every entry compiles without a spilled register and fits the shared memory of its architecture: `copgen.kernels.aot`
compiles them all, without a GPU, and its test holds the table to it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .launch_grid import width_of

Kernel = Literal["sums", "gradients", "weights", "label_sums", "label_gradients", "label_weights"]
Operand = Literal["float16", "float32"]
WIDEST: dict[Operand, int] = {"float16": 256, "float32": 128}  # D up to which whole rows fit the registers
WIDTHS = (128, 256)  # narrower rows take the tiles of 128, which leave registers to spare then
FEW = 1024  # rows up to which small tiles fill the device better
ARCHITECTURES = (80, 90, 100)


@dataclass(frozen=True)
class Tile:
    """Block sizes and launch options of one kernel.

    Attributes:
        rows, columns: of the tile of logits.
        warps, stages: of the launch.
        depth: how much of D is read at a time; 0 for all of it.
    """

    rows: int
    columns: int
    warps: int
    stages: int
    depth: int = 0


@dataclass(frozen=True)
class Key:
    """What a tile depends on.

    Attributes:
        width: the narrowest of `WIDTHS` that holds D, or 0 where rows are too wide for the registers and read in steps.
        few: whether there are at most `FEW` rows.
        running: whether a running maximum is kept, which takes registers.
    """

    architecture: int
    kernel: Kernel
    operand: Operand
    width: int
    few: bool
    running: bool


def operand_of(z: Tensor) -> Operand:
    """The table's name for a dtype of unit rows."""
    return "float16" if z.dtype == torch.float16 else "float32"


def tile_for(kernel: Kernel, z: Tensor, rows: int, *, running: bool) -> Tile:
    """The tile for unit rows like `z`, of which a launch has so many."""
    operand, D = operand_of(z), z.shape[1]
    width = 0 if width_of(D) > WIDEST[operand] else min(width for width in WIDTHS if width >= D)
    return TABLE[Key(_architecture(z.device), kernel, operand, width, rows <= FEW, running)]


@functools.cache
def _architecture(device: torch.device) -> int:
    """The newest architecture of the table that is no newer than the device; the interpreter's is Hopper's."""
    if device.type != "cuda":
        return 90
    major, minor = torch.cuda.get_device_capability(device)
    return max(known for known in ARCHITECTURES if known <= max(10 * major + minor, ARCHITECTURES[0]))


# Tiles for many rows and for few, each by architecture where not all agree (90 stands for those that are not named); a
# kernel that needs smaller ones with a running maximum has them in `_RUNNING`. A Hopper matrix instruction has 64 rows.
_Choice = Tile | dict[int, Tile]
_TILES: dict[tuple[Operand, Kernel, int], tuple[_Choice, _Choice]] = {
    ("float16", "sums", 128): (Tile(128, 128, 8, 2), Tile(32, 64, 4, 2)),
    ("float16", "sums", 256): (Tile(128, 128, 8, 2), Tile(32, 64, 4, 2)),
    ("float16", "sums", 0): (Tile(128, 128, 8, 4, 64), Tile(64, 64, 4, 3, 64)),
    ("float16", "gradients", 128): ({80: Tile(64, 64, 8, 2), 90: Tile(128, 64, 8, 2)}, Tile(32, 64, 4, 2)),
    ("float16", "gradients", 256): ({80: Tile(64, 64, 8, 2), 90: Tile(128, 64, 8, 2)}, Tile(32, 64, 4, 2)),
    ("float16", "weights", 0): (
        {80: Tile(128, 128, 8, 4, 64), 90: Tile(128, 256, 8, 3, 64), 100: Tile(128, 128, 8, 4, 64)},
        Tile(64, 64, 4, 3, 64),
    ),
    # float32 is three TF32 products for each of float32: a third of the arithmetic, three times the registers.
    ("float32", "sums", 128): (
        {80: Tile(64, 128, 8, 3, 32), 90: Tile(128, 64, 8, 2), 100: Tile(64, 128, 8, 3, 32)},
        Tile(32, 64, 8, 2),
    ),
    ("float32", "sums", 0): (Tile(64, 128, 8, 3, 32), Tile(64, 64, 8, 3, 32)),
    ("float32", "gradients", 128): (Tile(32, 64, 8, 2), Tile(32, 64, 8, 2)),
    ("float32", "weights", 0): (Tile(64, 128, 8, 3, 32), Tile(64, 64, 8, 3, 32)),
    ("float16", "label_sums", 128): (Tile(64, 64, 8, 2), Tile(32, 64, 4, 2)),
    ("float16", "label_sums", 256): (Tile(64, 64, 8, 2), Tile(32, 64, 4, 2)),
    ("float16", "label_sums", 0): (Tile(64, 64, 8, 3, 64), Tile(64, 64, 8, 3, 64)),
    ("float16", "label_gradients", 128): (Tile(64, 64, 8, 2), Tile(32, 64, 4, 2)),
    ("float16", "label_gradients", 256): ({80: Tile(32, 64, 8, 2), 90: Tile(64, 64, 8, 2)}, Tile(32, 64, 4, 2)),
    ("float16", "label_weights", 0): (Tile(64, 64, 8, 3, 64), Tile(64, 64, 8, 3, 64)),
    ("float32", "label_sums", 128): (
        {80: Tile(64, 64, 8, 3, 32), 90: Tile(64, 64, 8, 2), 100: Tile(64, 64, 8, 3, 32)},
        Tile(32, 64, 8, 2),
    ),
    ("float32", "label_sums", 0): (Tile(64, 64, 8, 3, 32), Tile(64, 64, 8, 3, 32)),
    ("float32", "label_gradients", 128): (Tile(32, 32, 8, 2), Tile(32, 32, 8, 2)),
    ("float32", "label_weights", 0): (Tile(64, 64, 8, 3, 32), Tile(64, 64, 8, 3, 32)),
}
_RUNNING: dict[tuple[Operand, Kernel, int], tuple[_Choice, _Choice]] = {
    ("float16", "gradients", 128): (Tile(64, 64, 8, 2), Tile(32, 64, 4, 2)),
    ("float16", "gradients", 256): (Tile(32, 64, 8, 2), Tile(32, 64, 8, 2)),
    ("float32", "gradients", 128): (Tile(16, 64, 8, 2), Tile(16, 64, 8, 2)),
}


def _table() -> dict[Key, Tile]:
    table = {}
    for running in (False, True):
        for (operand, kernel, width), tiles in (_TILES | _RUNNING if running else _TILES).items():
            for few, choice in zip((False, True), tiles, strict=True):
                for architecture in ARCHITECTURES:
                    tile = choice.get(architecture, choice[90]) if isinstance(choice, dict) else choice
                    table[Key(architecture, kernel, operand, width, few, running)] = tile
    return table


TABLE = _table()
