"""The tile sizes of the kernels: a table by architecture, operand and width, without autotuning at run time.

Every entry compiles without register spills and fits the shared memory of its architecture, with every version of
Triton from 3.6 (torch 2.11) to 3.9, also as `navigate` launches it; `copgen.kernels.aot` checks it without a GPU, in
the tests with one version and in `make test-triton` with several. An entry that would spill with one of them has the
smaller tile for all.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from .launch_grid import width_of

Kernel = Literal["sums", "gradients", "weights", "label_sums", "label_gradients", "label_weights"]
Operand = Literal["float16", "float32"]
WIDEST: dict[Operand, int] = {"float16": 256, "float32": 128}  # D up to which whole rows fit the registers
WIDTHS = (128, 256)  # narrower rows use the tiles for 128
FEW = 1024  # up to this many rows, small tiles fill the device better
ARCHITECTURES = (80, 90, 100)
# Consumer GPUs, whose programs have 99 KiB of shared memory, and the architecture whose tiles for few rows they use.
SMALL = {86: 80, 89: 80, 120: 100}
ENOUGH = 160 * 1024  # bytes of shared memory for all tiles of the oldest architecture


@dataclass(frozen=True)
class Tile:
    """Block sizes and launch options of one kernel.

    Attributes:
        rows, columns: of the tile of logits.
        warps, stages: of the launch.
        depth: how many columns of D are read at a time; 0 for all.
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
        width: the smallest of `WIDTHS` >= D, or 0 if rows are too wide for the registers and read in steps.
        few: whether there are at most `FEW` rows.
        running: whether a running maximum is kept, which needs registers.
    """

    architecture: int
    kernel: Kernel
    operand: Operand
    width: int
    few: bool
    running: bool


def operand_of(z: Tensor) -> Operand:
    """The name of a dtype of unit rows in the table."""
    return "float16" if z.dtype == torch.float16 else "float32"


def tile_for(kernel: Kernel, z: Tensor, rows: int, *, running: bool) -> Tile:
    """The tile for a launch over `rows` unit rows like `z`."""
    operand, D = operand_of(z), z.shape[1]
    width = 0 if width_of(D) > WIDEST[operand] else min(width for width in WIDTHS if width >= D)
    few = rows <= FEW or has_little_memory(z.device)
    return TABLE[Key(architecture_of(z.device), kernel, operand, width, few, running)]


@functools.cache
def architecture_of(device: torch.device) -> int:
    """The newest architecture of the table that is not newer than the device; Hopper for the interpreter."""
    if device.type != "cuda":
        return 90
    major, minor = torch.cuda.get_device_capability(device)
    return max(known for known in ARCHITECTURES if known <= max(10 * major + minor, ARCHITECTURES[0]))


@functools.cache
def has_little_memory(device: torch.device) -> bool:
    """Whether a program has the shared memory of a consumer GPU, which only the tiles for few rows fit."""
    if device.type != "cuda":
        return False
    properties: Any = torch.cuda.get_device_properties(device)  # the attribute is not typed in torch
    return bool(properties.shared_memory_per_block_optin < ENOUGH)


# Tiles for many rows and for few, by architecture if they differ (90 is the default); `_RUNNING` overrides them for
# kernels that need smaller ones with a running maximum. A Hopper matrix instruction has 64 rows.
_Choice = Tile | dict[int, Tile]
_TILES: dict[tuple[Operand, Kernel, int], tuple[_Choice, _Choice]] = {
    ("float16", "sums", 128): (Tile(128, 128, 8, 2), Tile(32, 64, 4, 2)),
    ("float16", "sums", 256): (Tile(128, 128, 8, 2), Tile(32, 64, 4, 2)),
    ("float16", "sums", 0): (Tile(128, 128, 8, 4, 64), Tile(64, 64, 4, 3, 64)),
    ("float16", "gradients", 128): ({80: Tile(64, 64, 8, 2), 90: Tile(128, 64, 8, 2)}, Tile(32, 32, 4, 2)),
    ("float16", "gradients", 256): ({80: Tile(64, 64, 8, 2), 90: Tile(128, 64, 8, 2)}, Tile(32, 64, 4, 2)),
    ("float16", "weights", 0): (Tile(128, 128, 8, 4, 64), Tile(64, 64, 4, 3, 64)),
    # A float32 product is three TF32 products: a third of the speed, three times the registers.
    ("float32", "sums", 128): (
        {80: Tile(64, 128, 8, 3, 32), 90: Tile(128, 64, 8, 2), 100: Tile(64, 128, 8, 3, 32)},
        Tile(32, 64, 8, 2),
    ),
    ("float32", "sums", 0): (Tile(64, 128, 8, 3, 32), Tile(64, 64, 8, 3, 32)),
    ("float32", "gradients", 128): (Tile(16, 64, 8, 2), Tile(16, 64, 8, 2)),
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
    ("float32", "label_gradients", 128): (Tile(16, 32, 8, 2), Tile(16, 32, 8, 2)),
    ("float32", "label_weights", 0): (Tile(64, 64, 8, 3, 32), Tile(64, 64, 8, 3, 32)),
}
_RUNNING: dict[tuple[Operand, Kernel, int], tuple[_Choice, _Choice]] = {
    ("float16", "gradients", 128): (Tile(64, 64, 8, 2), Tile(32, 64, 4, 2)),
    ("float16", "gradients", 256): (Tile(32, 64, 8, 2), Tile(32, 64, 8, 2)),
    ("float32", "gradients", 128): (Tile(16, 32, 8, 2), Tile(16, 32, 8, 2)),
    ("float32", "sums", 128): (
        {80: Tile(64, 64, 8, 3, 32), 90: Tile(128, 64, 8, 2), 100: Tile(64, 128, 8, 3, 32)},
        Tile(32, 64, 8, 2),
    ),
    ("float32", "sums", 0): ({80: Tile(64, 64, 8, 3, 32), 90: Tile(64, 128, 8, 3, 32)}, Tile(64, 64, 8, 3, 32)),
    ("float32", "label_sums", 128): (
        {80: Tile(64, 64, 8, 3, 32), 90: Tile(64, 64, 8, 2), 100: Tile(64, 64, 8, 3, 32)},
        {80: Tile(32, 64, 8, 2, 32), 90: Tile(32, 64, 8, 2)},
    ),
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
