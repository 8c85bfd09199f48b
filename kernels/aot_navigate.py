"""Compiles the navigator's kernels with every tile of their table ahead of time, without a GPU.

    python -m copgen.kernels.aot_navigate 90 120 120

prints the resources of each kernel for layers of 120 coordinates and 120 hidden units as JSON, one line each;
`python -m copgen.kernels.aot_navigate check 80 86 89 90 100 120` checks all widths (`make test-triton`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from typing import Any

import triton

from .aot import SHARED_MEMORY, Report, compiled
from .navigate_kernel import finish_statistics, navigate_rows
from .navigate_tiles import TILES, Tile, block_of, kind_of
from .tile_table import SMALL

# z and the weights: their dtypes in every combination that the operator takes.
POINTERS = {"float32": ("*fp32", "*fp32"), "bfloat16": ("*bf16", "*bf16"), "float16": ("*fp16", "*fp16")}
POINTERS |= {"bfloat16 weights": ("*fp32", "*bf16")}
OTHERS = ((64, 64), (128, 16), (16, 128))  # coordinates and hidden units, beside 120 and 128 of both


def tiles_of(architecture: int) -> tuple[Tile, ...]:
    """The tiles for an architecture."""
    return TILES[kind_of(architecture, little_memory=architecture in SMALL)]


def report(
    architecture: int, tile: Tile, D: int, H: int, *, dtype: str = "float32", products: int = 3, keep: bool = False
) -> Report:
    """Compile the kernel as it is launched: pointers, and with a multiple of 16 rows their number, divisible by 16."""
    of_z, of_weights = POINTERS[dtype]
    types = {"z": of_z, "z_pos": of_z, "partial": "*fp64", "delta": "fp32"}
    types |= dict.fromkeys(("w1", "b1", "w2", "b2"), of_weights) | dict.fromkeys(("rows", "kept", "tiles"), "i32")
    blocks = {"BLOCK_R": tile.rows, "BLOCK_D": block_of(D), "BLOCK_H": min(tile.units, block_of(H))}
    constants = {"D": D, "H": H, "PRODUCTS": products, "KEEP": keep, **blocks}
    return _compile(navigate_rows, types, constants, architecture, tile.warps)


def report_on_statistics(architecture: int) -> Report:
    """Compile the kernel that adds the programs' sums."""
    types = {"partial": "*fp64", "stats": "*fp64", "rows": "i64", "programs": "i32"}
    return _compile(finish_statistics, types, {"D": 120, "BLOCK": 256}, architecture, 4)


def _compile(kernel: Any, types: dict[str, str], constants: dict[str, Any], architecture: int, warps: int) -> Report:
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else types.get(name, "*fp32") for name in names}
    attributes = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(names)
        if signature[name].startswith("*") or name == "rows"
    }
    return compiled(kernel, signature, constants, attributes, architecture, warps, 1)


def check(architecture: int) -> int:
    """1 if a kernel spills, does not fit or has no matrix instruction; it is printed."""
    failed, count = 0, 0
    for how, found in _every(architecture):
        count += 1
        if found.stack or found.shared > SHARED_MEMORY[architecture] or not found.matrix:
            failed = 1
            print(f"triton {triton.__version__}, sm_{architecture}: {how}: {found}", flush=True)
    print(f"triton {triton.__version__}, sm_{architecture}: {count} programs checked", flush=True)
    return failed


def _every(architecture: int) -> Iterator[tuple[str, Report]]:
    tiles = tiles_of(architecture)
    for tile, products, keep in product(tiles, (3, 1), (False, True)):
        how = f"{tile}, {products} products, keep {keep}"
        yield how, report(architecture, tile, 120, 120, products=products, keep=keep)
    for tile, (D, H) in product(tiles, OTHERS):
        yield f"{tile}, {D} x {H}", report(architecture, tile, D, H, keep=True)
    for tile, dtype in product(tiles, POINTERS):
        yield f"{tile}, {dtype}", report(architecture, tile, 128, 128, dtype=dtype, keep=True)


def main(words: list[str]) -> None:
    """Print the kernels' resources, or check them."""
    if words[0] == "check":
        sys.exit(max(check(int(word)) for word in words[1:]))
    architecture, D, H = (int(word) for word in words)
    for tile, products in product(tiles_of(architecture), (3, 1)):
        found = report(architecture, tile, D, H, products=products, keep=products == 3)
        print(json.dumps({"tile": asdict(tile), "products": products, "report": asdict(found)}), flush=True)
    print(json.dumps({"tile": None, "products": 0, "report": asdict(report_on_statistics(architecture))}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
