"""Neg FT: mixed negatives as functions of (seed, update), and its two losses against their definitions."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.methods.interpolation import Interpolation, Mixing, beta_quantile
from copgen.methods.negft import NegFT, NegFTInBatch
from tests.methods.small import K, batch, tiny


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.6, 2.0, 5.0])
def test_the_quantiles_are_betas(alpha: float) -> None:
    special = pytest.importorskip("scipy.special")
    u = torch.linspace(0.001, 0.999, 501, dtype=torch.float64)
    expected = torch.from_numpy(special.betaincinv(alpha, alpha, u.numpy()))
    torch.testing.assert_close(beta_quantile(u, alpha), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("mixing", ["element", "update"])
def test_rows_are_mixed_with_a_permutation_of_themselves(mixing: Mixing) -> None:
    mix = Interpolation(2.0, mixing, seed=0).double()
    rows = torch.randn(64, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixed, partner = mix(rows)
    assert partner.sort().values.tolist() == list(range(64))
    others = partner != torch.arange(64)
    share = ((mixed - rows[partner]) / (rows - rows[partner]))[others]
    assert bool(((share > 0) & (share < 1)).all())
    assert (share.std() > 0.1) if mixing == "element" else (share.std() < 1e-6)
    assert float(share.mean()) == pytest.approx(0.5, abs=0.03) or mixing == "update"


def test_the_mixture_is_a_function_of_seed_and_update() -> None:
    rows = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))

    def mixed(seed: int, update: int) -> Tensor:
        mix = Interpolation(2.0, "element", seed=seed)
        mix.update.fill_(update)
        found: Tensor = mix(rows)[0]
        return found

    assert torch.equal(mixed(0, 3), mixed(0, 3))
    assert not torch.equal(mixed(0, 3), mixed(0, 4))
    assert not torch.equal(mixed(0, 3), mixed(1, 3))


def moco_logits(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """The published code's logits: the positive first, then the queue."""
    positive = (q * k).sum(dim=1, keepdim=True)
    return torch.cat((positive, q @ queue.T), dim=1) / temperature


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_of_the_queue_form_are_those_of_the_published_loop(dtype: torch.dtype) -> None:
    """MoCo's loop: key, logits against the mixed queue, step, moving average, enqueue; lambda and permutation given."""
    method = tiny("negft", queue=4 * K, momentum=0.9).to(dtype)
    assert isinstance(method, NegFT)
    f, f_key = copy.deepcopy(method.f), copy.deepcopy(method.target)
    queue = method.queue.rows.clone()
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.06) for module in (method.f, f)]
    bound = 1e-5 if dtype == torch.float32 else 1e-10
    for update in range(6):  # past the end of the queue
        (x0, x1), _ = batch(update)
        x0, x1 = x0.to(dtype), x1.to(dtype)
        mixed, _ = method.interpolation(queue)

        ours = method(x0, x1)["loss"]
        optimizers[0].zero_grad()
        torch.autograd.backward(ours)
        optimizers[0].step()
        method.after_step(update)

        q = F.normalize(f(x0)["projection"], dim=1)
        with torch.no_grad():
            k = F.normalize(f_key(x1)["projection"], dim=1)
        loss = F.cross_entropy(moco_logits(q, k, mixed, 0.2), torch.zeros(K, dtype=torch.int64))
        optimizers[1].zero_grad()
        torch.autograd.backward(loss)
        optimizers[1].step()
        with torch.no_grad():
            for mean, new in zip(f_key.parameters(), f.parameters(), strict=True):
                mean.mul_(0.9).add_(new, alpha=0.1)
            queue[(torch.arange(K) + update * K) % len(queue)] = k
        torch.testing.assert_close(ours, loss, rtol=bound, atol=bound)
    for found, expected in zip(method.f.parameters(), f.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=bound, atol=bound)
    torch.testing.assert_close(method.queue.rows, queue, rtol=10 * bound, atol=10 * bound)


def test_only_the_anchors_views_pass_f() -> None:
    method = tiny("negft")
    seen, _ = batch(0)
    calls: list[Any] = []
    method.f.register_forward_hook(lambda *_: calls.append(1))
    method(*seen)
    assert len(calls) == method.trained_views == 1


@pytest.mark.parametrize("views", [2, 3])
def test_in_a_batch_an_anchor_meets_the_mixed_rows_without_its_sample(views: int) -> None:
    method = tiny("negft-inbatch", views=views)
    assert isinstance(method, NegFTInBatch)
    method.f.eval()
    seen, _ = batch(0, views)
    h = F.normalize(torch.stack([method.f(v)["projection"] for v in seen], dim=1), dim=2)
    rows = h.flatten(0, 1)
    mixed, partner = method.interpolation(rows)
    losses = []
    for i in range(len(rows)):
        negatives = [r for r in range(len(rows)) if i // views not in (r // views, int(partner[r]) // views)]
        against = torch.logsumexp(mixed[negatives] @ rows[i] / 0.1, dim=0)
        for p in range(i // views * views, (i // views + 1) * views):
            if p != i:
                positive = rows[i] @ rows[p] / 0.1
                losses.append(torch.logaddexp(positive, against) - positive)
    torch.testing.assert_close(method(*seen)["loss"], torch.stack(losses).mean(), rtol=1e-10, atol=1e-10)


def test_an_anchor_without_a_negative_gives_no_loss_and_no_nan() -> None:
    method = tiny("negft-inbatch")
    h = torch.randn(2, 2, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for update in range(8):
        loss = method.loss([{"projection": h[:, 0]}, {"projection": h[:, 1]}], ({}, {}), None)["loss"]
        (gradient,) = torch.autograd.grad(loss, h)
        assert bool(loss.isfinite())
        assert bool(gradient.isfinite().all())
        method.after_step(update)


def test_the_chance_of_a_queue_is_ln_of_its_rows_and_the_positive() -> None:
    assert tiny("negft").chance(K)["chance"] == pytest.approx(math.log(1 + 12))
