"""The native operators as torch sees them: opcheck, torch.compile, and their own refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.latents import constrain, draw_latents, navigate
from tests.latents.operations.navigators import case

pytestmark = pytest.mark.usefixtures("built")


def leaves(*shape: int, dtype: torch.dtype = torch.float64, device: torch.device) -> list[Tensor]:
    return [x.requires_grad_() for x in case(*shape, dtype=dtype, device=device)]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # the checker looks at it
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kept", [0, 4, 6])
def test_navigate_is_registered_as_an_operator_should_be(device: torch.device, dtype: torch.dtype, kept: int) -> None:
    arguments = (*leaves(6, 5, 4, dtype=dtype, device=device), 0.3, kept)
    torch.library.opcheck(torch.ops.copgen.navigate.default, arguments)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("mode", ["report", "reject", "project"])
def test_constrain_is_registered_as_an_operator_should_be(device: torch.device, mode: str) -> None:
    z, z_pos, *_ = leaves(6, 6, 6, device=device)
    torch.library.opcheck(torch.ops.copgen.constrain.default, (z, z_pos, 0.3, mode))


@pytest.mark.parametrize("threshold", [None, 2.0])
def test_draw_latents_is_registered_as_an_operator_should_be(device: torch.device, threshold: float | None) -> None:
    arguments = (torch.arange(5, device=device), -7, 6, 1.0, threshold, 0.02)
    torch.library.opcheck(torch.ops.copgen.draw_latents.default, arguments)


def test_philox_bits_is_registered_as_an_operator_should_be() -> None:
    torch.library.opcheck(torch.ops.copgen.philox_bits.default, (torch.arange(5), -7, 6))


def test_compiles_as_one_graph_with_the_same_result(device: torch.device) -> None:
    def run(z: Tensor, *weights: Tensor) -> Tensor:
        moved = navigate(z, *weights, delta=0.3)
        held = constrain(z, moved.z_pos, delta=0.3, mode="project")
        return held.z_pos.square().sum() + moved.d.sum() + moved.stats.sum()

    inputs = leaves(40, 6, 5, device=device)
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*inputs), run(*inputs), rtol=1e-12, atol=1e-12)
    expected = torch.autograd.grad(run(*inputs), inputs)
    for found, plain in zip(torch.autograd.grad(compiled(*inputs), inputs), expected, strict=True):
        torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)


def test_a_draw_compiles_as_one_graph(device: torch.device) -> None:
    rows = torch.arange(7, device=device)
    compiled = torch.compile(lambda rows: draw_latents(rows, dim=5, seed=0), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(rows), draw_latents(rows, dim=5, seed=0))


def test_no_more_is_kept_than_promised() -> None:
    from copgen.latents.operations.operators import rows_to_keep  # only where the library is

    assert rows_to_keep(100, 7, torch.float32) == 100
    kept = rows_to_keep(65_536, 784, torch.float32)
    assert 0 < 4 * 784 * kept <= 120 << 20 < 4 * 784 * (kept + 1)


@pytest.mark.parametrize(
    ("operator", "arguments", "message"),
    [
        ("navigate", (*case(3, 2, 4)[:4], torch.zeros(3, dtype=torch.float64), None, 0), "b2 has shape"),
        ("navigate", (*case(3, 2, 4), -1.0, 0), "delta is -1"),
        ("navigate", (*case(3, 2, 4), None, 4), "kept is 4"),
        ("navigate", (torch.zeros(3, 2, dtype=torch.int32), *case(3, 2, 4)[1:], None, 0), "z is Int"),
        ("constrain", (torch.zeros(3, 2), torch.zeros(2, 2), None, "report"), "z_pos has shape"),
        ("constrain", (torch.zeros(3, 2), torch.zeros(3, 2), None, "project"), "needs a delta"),
        ("constrain", (torch.zeros(3, 2), torch.zeros(3, 2), 0.1, "other"), "mode is 'other'"),
        ("draw_latents", (torch.zeros(3), 0, 2, 1.0, None, 0.0), "^rows .*int64"),
        ("draw_latents", (torch.arange(3), 0, -2, 1.0, None, 0.0), "dim is -2"),
    ],
)
def test_an_operator_that_is_called_directly_names_the_argument(
    operator: str, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(torch.ops.copgen, operator).default(*arguments)
