"""Compiles, for a GPU that is not there, the kernels that a loss and its gradients launch.

    python -m tests.kernels.launched 90 '{"dtype": "bfloat16", "needs": [true, false, false], "negatives": 7}'

prints the resources of each kernel, one line of JSON per launch. The arguments are those of the launch, so dtypes and
specialisations are, too; nothing runs, and numbers are meaningless. `TRITON_INTERPRET` must not be set.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from typing import Any
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from copgen.kernels import aot, tile_table
from copgen.objectives import info_nce, sup_con, triton_kernels
from copgen.objectives.operators import info_nce as info_nce_operator
from copgen.objectives.operators import sup_con as sup_con_operator


@dataclass(frozen=True)
class Case:
    """A call of a loss.

    Attributes:
        pairs, width: K and D.
        negatives: further negatives of InfoNCE; 0 for none.
        needs: whether h, h_pos and negatives need a gradient; of SupCon the first counts.
        precision: of `torch.set_float32_matmul_precision`.
    """

    loss: str = "info_nce"
    dtype: str = "float32"
    pairs: int = 40
    width: int = 48
    negatives: int = 0
    needs: list[bool] = field(default_factory=lambda: [True, True, True])
    temperature: float = 0.1
    anchors: str = "first"
    normalized: bool = False
    precision: str = "highest"


class Absent:
    """A driver of Triton for a device of one architecture that is not there."""

    def __init__(self, architecture: int) -> None:
        self.target = GPUTarget("cuda", architecture, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def reports(case: Case, architecture: int) -> list[dict[str, Any]]:
    """Name and resources of each kernel that the forward and the backward pass of `case` launch."""
    found: list[dict[str, Any]] = []
    run = JITFunction.run

    def compile_only(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        compiled = run(kernel, *args, grid=grid, warmup=True, **options)
        registers, stack = aot.resources(compiled.asm["cubin"])
        found.append(
            {"kernel": kernel.__name__, "registers": registers, "stack": stack, "shared": compiled.metadata.shared}
        )

    triton.runtime.driver.set_active(Absent(architecture))
    torch.set_float32_matmul_precision(case.precision)
    operator = info_nce_operator if case.loss == "info_nce" else sup_con_operator
    with (
        mock.patch.object(operator, "kernels_for", return_value=triton_kernels),
        mock.patch.object(tile_table, "architecture_of", return_value=architecture),
        mock.patch.object(JITFunction, "run", compile_only),
    ):
        _loss(case).sum().backward()  # type: ignore[no-untyped-call]
    return found


def _loss(case: Case) -> torch.Tensor:
    sizes = (case.pairs, case.pairs, case.negatives)
    h, h_pos, negatives = (
        torch.ones(size, case.width, dtype=getattr(torch, case.dtype), requires_grad=need)
        for size, need in zip(sizes, case.needs, strict=True)
    )
    if case.loss == "sup_con":
        labels = torch.zeros(case.pairs, dtype=torch.int64)
        return sup_con(h, labels, temperature=case.temperature, normalized=case.normalized)
    return info_nce(
        h, h_pos, negatives=negatives if case.negatives else None, temperature=case.temperature,
        anchors=case.anchors, normalized=case.normalized,  # type: ignore[arg-type]
    )  # fmt: skip


def main(words: list[str]) -> None:
    """Print the reports of all cases, JSON objects of `Case`'s attributes, for an architecture."""
    architecture = int(words[0])
    for text in words[1:]:
        case = Case(**json.loads(text))
        for report in reports(case, architecture):
            print(json.dumps(asdict(case) | report), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
