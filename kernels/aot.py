"""What the compiler makes of every tile of the table, found out without a GPU.

    python -m copgen.kernels.aot 90 gradients float16

prints registers, spills, shared memory and matrix instructions as JSON, a line for each entry; the tests compare them
with the table.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from copgen.kernels import info_nce_kernels, sup_con_kernels
from copgen.kernels.tiles import TABLE, Key, Tile

SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024}  # bytes that a program can have
# Those of the architecture itself, and those of all since Volta, which it keeps.
MATRIX_INSTRUCTIONS = {80: "HMMA", 90: "HGMMA|HMMA", 100: r"UTC\w*MMA|HMMA"}
WIDE_D = 1024  # the width that stands for all that are read in steps
POINTERS = {"float16": "*fp16", "float32": "*fp32"}
KERNELS: dict[str, Any] = {
    "sums": info_nce_kernels.sum_negatives,
    "gradients": info_nce_kernels.gradients,
    "weights": info_nce_kernels.write_weights,
    "label_sums": sup_con_kernels.sum_by_label,
    "label_gradients": sup_con_kernels.gradients,
    "label_weights": sup_con_kernels.write_weights,
}
OF_ROWS = (
    "h",
    "h_pos",
    "negatives",
    "h_all",
    "h_pos_all",
    "rows_matrix",
    "columns_matrix",
    "z",
    "z_all",
    "weights_out",
)
INTEGERS = (
    "pairs", "pairs_all", "further", "offset", "splits", "tiles0", "tiles1", "rows_in_all", "start", "row_base",
    "row_count", "column_count", "column_base", "diagonal", "stride", "count", "count_all",
)  # fmt: skip
LONGS = ("labels", "labels_all", "counts_all")


@dataclass(frozen=True)
class Report:
    """What became of one kernel.

    Attributes:
        registers: of a thread.
        spills: loads and stores of local memory in the machine code.
        shared: bytes of shared memory of a program.
        matrix: how many matrix instructions there are.
    """

    registers: int
    spills: int
    shared: int
    matrix: int


def report(key: Key, tile: Tile) -> Report:
    """Compile the kernel of an entry of the table.

    Without a running maximum, in the form that large batches take: the mean of Algorithm 1. With one, in the form that
    takes the most registers: both directions, a queue, weights for the rows, and the gradients finished in the kernel.
    """
    kernel = KERNELS[key.kernel]
    all_of_it = key.running
    constants: dict[str, Any] = {
        "D": key.width or WIDE_D, "BOTH": all_of_it, "HAS_NEGATIVES": all_of_it, "LEARNT": all_of_it,
        "RUNNING": all_of_it, "ROW_WEIGHTS": all_of_it, "SEARCH": True, "HAS_LENGTH": True, "SPLIT": not all_of_it,
        "HAS_DIAGONAL": True, "ROWS": True, "COLUMNS": True, "INPUT_PRECISION": "tf32x3",
        "BLOCK_R": tile.rows, "BLOCK_C": tile.columns, "BLOCK_D": tile.depth or key.width,
    }  # fmt: skip
    names: list[str] = kernel.arg_names
    constants = {name: value for name, value in constants.items() if name in names}
    signature = {name: "constexpr" if name in constants else _type(name, key) for name in names}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(names)
        if signature[name].startswith("*") or name in ("pairs", "pairs_all")
    }
    places = {(names.index(name),): value for name, value in constants.items()}
    compiled = triton.compile(
        ASTSource(fn=kernel, signature=signature, constexprs=places, attrs=aligned),
        target=GPUTarget("cuda", key.architecture, 32),
        options={"num_warps": tile.warps, "num_stages": tile.stages},
    )
    code, registers = _machine_code(compiled.asm["cubin"])
    return Report(
        registers=registers,
        spills=len(re.findall(r"\b(?:LDL|STL)\b", code)),
        shared=compiled.metadata.shared,
        matrix=len(re.findall(rf"\b(?:{MATRIX_INSTRUCTIONS[key.architecture]})\b", code)),
    )


def _type(name: str, key: Key) -> str:
    if name in OF_ROWS:
        return POINTERS[key.operand]
    if name in INTEGERS:
        return "i32"
    if name in LONGS:
        return "*i64"
    if name == "scale" or (name == "temperature" and not key.running):
        return "fp32"
    return "*fp32"


def _machine_code(cubin: bytes) -> tuple[str, int]:
    """The disassembly, and the registers of a thread."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        code, usage = (
            subprocess.run([tool, option, file.name], capture_output=True, text=True, check=True).stdout
            for option in ("-sass", "-res-usage")
        )
    found = re.search(r"REG:(\d+)", usage)
    assert found, usage
    return code, int(found[1])


def main(words: list[str]) -> None:
    """Print a line for each entry of the table whose key has all the words, as in `90 sums float16`."""
    reports: dict[object, Report] = {}
    for key, tile in TABLE.items():
        described = [str(key.architecture), key.kernel, key.operand]
        if not set(words) <= set(described):
            continue
        same = (*described, key.width, key.running, tile)
        if same not in reports:
            reports[same] = report(key, tile)
        print(json.dumps({"key": asdict(key), "tile": asdict(tile), "report": asdict(reports[same])}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
