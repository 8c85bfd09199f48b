"""Compiles the kernels with every tile of the table ahead of time, without a GPU.

    python -m copgen.kernels.aot 90 gradients float16

prints registers, stack, shared memory and matrix instructions as JSON, one line per entry; the tests check that nothing
spills and that shared memory suffices. `python -m copgen.kernels.aot check 90` checks it itself (`make test-triton`).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from . import info_nce_backward, info_nce_forward, normalize_kernel, sup_con_kernels
from .tile_table import SMALL, TABLE, Key, Tile

# Bytes available to a program.
SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024, **dict.fromkeys(SMALL, 99 * 1024)}
# The architecture's own instruction, and the one that all architectures since Volta support.
MATRIX_INSTRUCTIONS = {80: r"mma\.sync", 90: r"wgmma\.mma_async|mma\.sync", 100: r"tcgen05\.mma|mma\.sync"}
MATRIX_INSTRUCTIONS |= dict.fromkeys(SMALL, r"mma\.sync")
WIDE_D = 1024  # representative of all widths that are read in steps
POINTERS = {"float16": "*fp16", "float32": "*fp32"}
KERNELS: dict[str, Any] = {
    "sums": info_nce_forward.sum_negatives,
    "gradients": info_nce_backward.gradients,
    "weights": info_nce_backward.write_weights,
    "label_sums": sup_con_kernels.sum_by_label,
    "label_gradients": sup_con_kernels.gradients,
    "label_weights": sup_con_kernels.write_weights,
}
REST: dict[str, Any] = {
    "normalize": normalize_kernel.normalize_rows,
    "losses": info_nce_forward.finish_losses,
    "finished": info_nce_backward.finish_gradients,
    "label_losses": sup_con_kernels.finish_losses,
    "label_finished": sup_con_kernels.finish_gradients,
}
# The types of arguments by name, as the kernels share names; all others are pointers to float32.
OF_ROWS = (
    "h", "h_pos", "negatives", "h_all", "h_pos_all", "rows_matrix", "columns_matrix", "z", "z_all", "weights_out",
    "x0", "x1", "x2", "z0", "z1", "z2",
)  # fmt: skip
INTEGERS = (
    "pairs", "pairs_all", "further", "offset", "splits", "tiles0", "tiles1", "rows_in_all", "start", "row_base",
    "row_count", "column_count", "column_base", "diagonal", "stride", "count", "count_all", "contrasted", "blocks",
    "count0", "count1", "count2", "stride0", "stride1", "stride2", "row_stride0", "row_stride1", "row_stride2",
)  # fmt: skip
LONGS = ("labels", "labels_all", "counts_all", "count_of")
NUMBERS = ("scale", "share")


@dataclass(frozen=True)
class Report:
    """The resources of one compiled kernel.

    Attributes:
        registers: per thread.
        stack: bytes of local memory per thread, to which registers are spilled.
        shared: bytes of shared memory per program.
        matrix: number of matrix instructions.
    """

    registers: int
    stack: int
    shared: int
    matrix: int


def report(key: Key, tile: Tile) -> Report:
    """Compile the kernel of an entry of the table.

    Without a running maximum, in the variant for large batches: the mean of Algorithm 1. With one, in the variant that
    needs the most registers: both directions, a queue, row weights, and gradients finished in the kernel.
    """
    blocks = {"BLOCK_R": tile.rows, "BLOCK_C": tile.columns, "BLOCK_D": tile.depth or key.width}
    constants = {"D": key.width or WIDE_D, "SPLIT": not key.running, **blocks}
    return _compile(KERNELS[key.kernel], key.architecture, key.operand, constants, key.running, tile.warps, tile.stages)


def report_launched(architecture: int, kernel: str, operand: str, tile: Tile, *, precision: str = "tf32x3") -> Report:
    """Compile an InfoNCE kernel as `navigate` launches it: both directions, K a multiple of 16, one rank, one split.

    Triton makes a constant of an integer that is 1, and knows which are divisible by 16. So this is another program
    than `report` compiles, and it needs other registers.
    """
    constants = {
        "D": 128, "SPLIT": False, "BOTH": True, "splits": 1, "INPUT_PRECISION": precision,
        "BLOCK_R": tile.rows, "BLOCK_C": tile.columns, "BLOCK_D": tile.depth or 128,
    }  # fmt: skip
    return _compile(
        KERNELS[kernel], architecture, operand, constants, False, tile.warps, tile.stages,
        aligned=("further", "offset", "rows_in_all"),
    )  # fmt: skip


def report_on_the_rest(architecture: int, operand: str, *, running: bool) -> dict[str, Report]:
    """Compile the kernels that pass over the rows once and have no tiles, with all options on."""
    blocks = {"D": 128, "BLOCK_R": 32, "BLOCK_D": 128, "MATRICES": 3}
    return {name: _compile(REST[name], architecture, operand, blocks, running, 4, 3) for name in REST}


def _compile(
    kernel: Any,
    architecture: int,
    operand: str,
    constants: dict[str, Any],
    every: bool,
    warps: int,
    stages: int,
    *,
    aligned: Sequence[str] = (),
) -> Report:
    """Compile with the given constants; `every` turns on all options that a plain mean does not need.

    Pointers, numbers of pairs and the integers `aligned` are divisible by 16.
    """
    constants = {
        "BOTH": every, "HAS_NEGATIVES": every, "LEARNT": every, "RUNNING": every, "ROW_WEIGHTS": every,
        "SEARCH": True, "HAS_LENGTH": True, "HAS_DIAGONAL": True, "ROWS": True, "COLUMNS": True, "MEAN": True,
        "SCALED": True, "INPUT_PRECISION": "tf32x3", **constants,
    }  # fmt: skip
    names: list[str] = kernel.arg_names
    constants = {name: value for name, value in constants.items() if name in names}
    signature = {name: "constexpr" if name in constants else _type(name, operand, learnt=every) for name in names}
    attributes = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(names)
        if signature[name].startswith("*") or name in ("pairs", "pairs_all", *aligned)
    }
    return compiled(kernel, signature, constants, attributes, architecture, warps, stages)


def compiled(
    kernel: Any,
    signature: dict[str, str],
    constants: dict[str, Any],
    attributes: dict[tuple[int], list[list[Any]]],
    architecture: int,
    warps: int,
    stages: int,
) -> Report:
    """Compile a kernel for the types and constants of its arguments, and attributes by their places."""
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    made = triton.compile(
        ASTSource(fn=kernel, signature=signature, constexprs=places, attrs=attributes),
        target=GPUTarget("cuda", architecture, 32),
        options={"num_warps": warps, "num_stages": stages},
    )
    registers, stack = resources(made.asm["cubin"])
    return Report(
        registers=registers,
        stack=stack,
        shared=made.metadata.shared,
        matrix=len(re.findall(MATRIX_INSTRUCTIONS[architecture], made.asm["ptx"])),
    )


def _type(name: str, operand: str, *, learnt: bool) -> str:
    if name in OF_ROWS:
        return POINTERS[operand]
    if name in INTEGERS:
        return "i32"
    if name in LONGS:
        return "*i64"
    if name in NUMBERS or (name == "temperature" and not learnt):
        return "fp32"
    return "*fp32"


def resources(cubin: bytes) -> tuple[int, int]:
    """Registers and bytes of stack per thread."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found, usage
    return int(found[1]), int(found[2])


def check(architecture: int) -> int:
    """1 if an entry of the table, or what `navigate` launches, spills, does not fit or has no matrix instruction."""
    failed = 0
    seen = set()
    for key, tile in TABLE.items():
        program = (replace(key, few=False), tile)  # many rows and few may have one tile
        if key.architecture != architecture or program in seen:
            continue
        seen.add(program)
        found = {"": report(key, tile)}
        if key.kernel in ("sums", "gradients") and (key.width, key.running) == (128, False):
            found[" as launched"] = report_launched(architecture, key.kernel, key.operand, tile)
        for how, one in found.items():
            if one.stack or one.shared > SHARED_MEMORY[architecture] or not one.matrix:
                failed = 1
                print(f"triton {triton.__version__}: {key}{how}, {tile}: {one}", flush=True)
    print(f"triton {triton.__version__}, sm_{architecture}: {len(seen)} programs checked", flush=True)
    return failed


def main(words: list[str]) -> None:
    """Print a line for each entry of the table whose key contains all the words, as in `90 sums float16`.

    `90 rest` selects the kernels without tiles, `90 launched` what `navigate` launches. For a consumer GPU, as in
    `89 sums`, the tiles are those that it uses.
    """
    if words[0] == "check":
        sys.exit(max(check(int(word)) for word in words[1:]))
    if words[1:] == ["launched"]:
        for key, tile in TABLE.items():
            known = (key.architecture, key.width, key.few, key.running) == (int(words[0]), 128, True, False)
            if known and key.kernel in ("sums", "gradients"):
                found = report_launched(key.architecture, key.kernel, key.operand, tile)
                print(json.dumps({"key": asdict(key), "tile": asdict(tile), "report": asdict(found)}), flush=True)
        return
    if words[1:] == ["rest"]:
        for operand in POINTERS:
            for running in (False, True):
                for name, found in report_on_the_rest(int(words[0]), operand, running=running).items():
                    print(json.dumps({"key": [name, operand, running], "report": asdict(found)}), flush=True)
        return
    reports: dict[object, Report] = {}
    small = int(words[0]) if words and words[0].isdigit() and int(words[0]) in SMALL else None
    for key, tile in TABLE.items():
        if small is not None:
            if key.architecture != SMALL[small] or not key.few:
                continue
            key = replace(key, architecture=small)
        described = [str(key.architecture), key.kernel, key.operand]
        if not set(words) <= set(described):
            continue
        same = (*described, key.width, key.running, tile)
        if same not in reports:
            reports[same] = report(key, tile)
        print(json.dumps({"key": asdict(key), "tile": asdict(tile), "report": asdict(reports[same])}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
