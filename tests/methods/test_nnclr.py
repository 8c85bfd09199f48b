"""NNCLR against lightly's memory bank and NT-Xent: losses, gradients, whole steps, and the queue."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from copgen.methods.nnclr import NNCLR
from copgen.methods.queue import Queue
from tests.methods.small import K, batch, tiny


def memory_bank(queue: Queue, dtype: torch.dtype) -> Any:
    """lightly's memory bank with the rows of ours."""
    modules = pytest.importorskip("lightly.models.modules")
    bank = modules.NNMemoryBankModule(size=tuple(queue.rows.shape))
    bank.bank = queue.rows.clone().to(dtype)
    return bank


def test_a_nearest_neighbour_is_lightlys() -> None:
    queue = Queue(64, 5, seed=3)
    z = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    found = queue.nearest(F.normalize(z, dim=1))
    torch.testing.assert_close(found, memory_bank(queue, torch.float32)(z))
    assert not found.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_a_loop_of_lightlys_parts(dtype: torch.dtype) -> None:
    """Its example enqueues the second view's projections; the loss is symmetric, so its views are exchanged here."""
    loss_module = pytest.importorskip("lightly.loss")
    method = tiny("nnclr", queue=4 * K, temperature=0.2).to(dtype)
    assert isinstance(method, NNCLR)
    criterion = loss_module.NTXentLoss(temperature=0.2)
    bank = memory_bank(method.queue, dtype)
    backbone, projector, predictor = copy.deepcopy(method.f)
    theirs = nn.ModuleList((backbone, projector, predictor))
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.06) for module in (method.f, theirs)]
    bound = 1e-5 if dtype == torch.float32 else 1e-10
    updates = 1 if dtype == torch.float32 else 6  # past the end of the queue; rounding errors grow with the updates
    for update in range(updates):
        (x0, x1), _ = batch(update)
        x0, x1 = x0.to(dtype), x1.to(dtype)

        ours = method(x0, x1)["loss"]
        optimizers[0].zero_grad()
        torch.autograd.backward(ours)
        optimizers[0].step()
        method.after_step(update)

        z0, z1 = (projector(backbone(x)) for x in (x0, x1))
        p0, p1 = predictor(z0), predictor(z1)
        n1 = bank(z1.detach(), update=False)
        n0 = bank(z0.detach(), update=True)
        loss = 0.5 * (criterion(n1, p0) + criterion(n0, p1))
        optimizers[1].zero_grad()
        torch.autograd.backward(loss)
        optimizers[1].step()
        torch.testing.assert_close(ours, loss, rtol=bound, atol=bound)
    for found, expected in zip(method.f.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=bound, atol=bound)


def test_the_queue_is_a_ring_of_unit_rows_from_the_seed() -> None:
    queue = Queue(5, 3, seed=0)
    assert torch.equal(queue.rows, Queue(5, 3, seed=0).rows)
    assert not torch.equal(queue.rows, Queue(5, 3, seed=1).rows)
    torch.testing.assert_close(queue.rows.norm(dim=1), torch.ones(5))
    first = queue.rows[4].clone()
    queue.push(torch.full((4, 3), 4.0))
    assert torch.equal(queue.rows[4], first)
    queue.push(torch.arange(3.0)[:, None].expand(3, 3))
    assert queue.rows[:, 0].tolist() == [1.0, 2.0, 4.0, 4.0, 0.0]
    assert int(queue.position) == 2
    queue.push(torch.arange(12.0)[:, None].expand(12, 3))  # of more rows than it holds, the last
    assert sorted(queue.rows[:, 0].tolist()) == [7.0, 8.0, 9.0, 10.0, 11.0]
    assert int(queue.position) == 14 % 5


def test_a_queue_is_updated_after_the_step_only() -> None:
    method = tiny("nnclr")
    assert isinstance(method, NNCLR)
    seen, _ = batch(0)
    before = method.queue.rows.clone()
    method(*seen)
    assert torch.equal(method.queue.rows, before)
    with torch.no_grad():
        z = F.normalize(method.f(seen[0])["projection"], dim=1)
    method.after_step(0)
    torch.testing.assert_close(method.queue.rows[:K], z)
    assert torch.equal(method.queue.rows[K:], before[K:])
