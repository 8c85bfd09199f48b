"""The constraint: which rows keep to delta, and those that do not brought back to it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from copgen.latents import constrain
from copgen.latents.operations import reference
from copgen.latents.operations.constrain import Mode
from copgen.runtime.errors import UsageError

DELTA = 0.4


def pair(
    rows: int, dim: int, *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Latents, and others at distances on both sides of DELTA."""
    draw = torch.Generator().manual_seed(rows + dim)
    z, e = (torch.randn(rows, dim, generator=draw, dtype=torch.float64) for _ in range(2))
    step = DELTA * (0.5 + torch.rand(rows, 1, generator=draw, dtype=torch.float64))
    return z.to(device, dtype), (z + step * e / e.norm(dim=1, keepdim=True) * dim**0.5).to(device, dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rows", "dim"), [(1, 1), (7, 3), (129, 127), (1000, 5), (3, 1000)])
def test_distances_and_statistics_are_numpy_s(
    implementation: str, device: torch.device, rows: int, dim: int, dtype: torch.dtype
) -> None:
    z, z_pos = pair(rows, dim, dtype=dtype, device=device)
    found = constrain(z, z_pos, delta=DELTA)
    m = z_pos.double().cpu().numpy() - z.double().cpu().numpy()
    d = np.sqrt((m**2).mean(axis=1))
    tolerance = 1e-12 if dtype == torch.float64 else 4 * np.sqrt(dim) * torch.finfo(torch.float32).eps
    np.testing.assert_allclose(found.d.double().cpu().numpy(), d, rtol=tolerance, atol=tolerance)
    assert found.violates.tolist() == (d > DELTA).tolist()
    numbers = found.numbers()
    assert numbers["violations"] == (d > DELTA).sum()
    assert numbers["shift_mean"] == pytest.approx(m.mean(), rel=tolerance, abs=tolerance)
    assert numbers["d_max"] == pytest.approx(d.max(), rel=tolerance)
    assert found.z_pos is z_pos
    assert found.order is None


def test_reject_puts_the_rows_that_keep_to_delta_first(implementation: str, device: torch.device) -> None:
    z, z_pos = pair(2500, 6, device=device)
    found = constrain(z, z_pos, delta=DELTA, mode="reject")
    assert found.order is not None
    beyond = found.violates.cpu()
    kept, others = (~beyond).nonzero().flatten(), beyond.nonzero().flatten()
    assert 0 < len(kept) < 2500
    assert torch.equal(found.order.cpu(), torch.cat((kept, others)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_project_shrinks_what_is_beyond_and_touches_nothing_else(
    implementation: str, device: torch.device, dtype: torch.dtype
) -> None:
    z, z_pos = pair(300, 9, dtype=dtype, device=device)
    found = constrain(z, z_pos, delta=DELTA, mode="project")
    again = constrain(z, found.z_pos, delta=None)
    eps = torch.finfo(dtype).eps
    assert float(again.d.max()) <= DELTA * (1 + 8 * eps) + 8 * eps
    assert torch.equal(found.z_pos[~found.violates], z_pos[~found.violates])
    before, after = (z_pos - z)[found.violates], (found.z_pos - z)[found.violates]
    torch.testing.assert_close(after, before * (DELTA / found.d[found.violates])[:, None], rtol=8 * eps, atol=8 * eps)


@pytest.mark.parametrize("mode", ["report", "project"])
def test_gradients_are_those_of_finite_differences(implementation: str, device: torch.device, mode: Mode) -> None:
    def outputs(z: Tensor, z_pos: Tensor) -> tuple[Tensor, Tensor]:
        found = constrain(z, z_pos, delta=DELTA, mode=mode)
        return found.z_pos * 1.0, found.d

    z, z_pos = (x.requires_grad_() for x in pair(6, 4, device=device))
    assert 0 < int(constrain(z, z_pos, delta=DELTA).violates.sum()) < 6
    assert torch.autograd.gradcheck(outputs, (z, z_pos))


def test_a_second_derivative_is_refused(built: None, device: torch.device) -> None:
    z, z_pos = (x.requires_grad_() for x in pair(6, 4, device=device))
    found = constrain(z, z_pos, delta=DELTA, mode="project")
    (gradient,) = torch.autograd.grad(found.z_pos.square().sum(), z, create_graph=True)
    with pytest.raises(UsageError, match="no second derivative"):
        torch.autograd.grad(gradient.sum(), z)


@pytest.mark.parametrize("mode", ["report", "reject", "project"])
def test_native_and_reference_agree_for_an_empty_batch_too(built: None, device: torch.device, mode: Mode) -> None:
    for rows in (0, 1, 77):
        z, z_pos = pair(rows, 5, device=device)
        found = constrain(z, z_pos, delta=DELTA, mode=mode)
        projected, d, violates, order, stats = reference.constrain(z, z_pos, DELTA, mode)
        torch.testing.assert_close(found.d, d, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.stats, stats, rtol=1e-12, atol=1e-12, equal_nan=True)
        assert torch.equal(found.violates, violates)
        assert mode != "reject" or (found.order is not None and torch.equal(found.order, order))
        if mode == "project":
            torch.testing.assert_close(found.z_pos, projected, rtol=1e-12, atol=1e-12)


def test_nothing_is_left_of_a_step_when_delta_is_zero(implementation: str) -> None:
    z, z_pos = pair(20, 3)
    torch.testing.assert_close(constrain(z, z_pos, delta=0.0, mode="project").z_pos, z, rtol=0, atol=1e-15)


Z = torch.zeros(3, 2)


@pytest.mark.parametrize(
    ("z", "z_pos", "more", "message"),
    [
        (torch.zeros(3), Z, {}, r"z has shape \(3,\)"),
        (Z, torch.zeros(2, 2), {}, r"z has shape \(3, 2\) and z_pos \(2, 2\)"),
        (Z, Z.double(), {}, "z_pos torch.float64"),
        (Z, Z.long(), {}, "z_pos is torch.int64"),
        (Z, Z.to("meta"), {}, "z_pos on meta"),
        (Z, Z, {"delta": -1.0}, "delta is -1.0"),
        (Z, Z, {"delta": math.nan}, "delta is nan"),
        (Z, Z, {"mode": "project"}, r"mode 'project' .*delta"),
        (Z, Z, {"delta": 1.0, "mode": "projct"}, "no mode 'projct'. Did you mean 'project'"),
    ],
)
def test_what_cannot_be_meant_is_named(
    implementation: str, z: Tensor, z_pos: Tensor, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        constrain(z, z_pos, **more)
