"""Logit, activation normalisation, squeeze and flatten: inverses and log-determinants against the Jacobian."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from copgen.generators.residual_flow.bijections import ActNorm, Flatten, Logit, Squeeze
from tests.generators.residual_flow.flows import dense_jacobian


def act_norm(channels: int) -> ActNorm:
    torch.manual_seed(0)
    norm = ActNorm(channels).double().eval()
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    return norm


def outcome(step: nn.Module, x: Tensor) -> Tensor:
    """y without the log-determinant."""
    y: Tensor = step(x)[0]
    return y


Step = Logit | ActNorm | Squeeze | Flatten
STEPS: dict[str, tuple[Callable[[], Step], tuple[int, ...]]] = {
    "logit": (lambda: Logit(0.05), (2, 2, 4)),
    "logit, public alpha": (lambda: Logit(1e-6), (1, 2, 2)),
    "actnorm": (lambda: act_norm(2), (2, 4, 2)),
    "actnorm, flat": (lambda: act_norm(6), (6,)),
    "squeeze": (Squeeze, (2, 4, 2)),
    "flatten": (lambda: Flatten((2, 4, 2)), (2, 4, 2)),
}


@pytest.mark.parametrize("name", STEPS)
def test_log_determinant_and_inverse(name: str) -> None:
    make, shape = STEPS[name]
    step = make()
    torch.manual_seed(1)
    x = 0.01 + 0.98 * torch.rand(3, *shape, dtype=torch.float64)
    y, log_det = step(x)
    assert log_det.shape == (3,)
    for k in range(3):
        jacobian = dense_jacobian(lambda one: outcome(step, one[None]), x[k])
        expected = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(log_det[k].detach(), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(step.inverse(y), x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", STEPS)
def test_both_directions_are_differentiable(name: str) -> None:
    make, shape = STEPS[name]
    step = make()
    torch.manual_seed(1)
    x = (0.1 + 0.8 * torch.rand(2, *shape, dtype=torch.float64)).requires_grad_()
    y = outcome(step, x).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: outcome(step, x), (x,))
    assert torch.autograd.gradcheck(step.inverse, (y,))


@pytest.mark.parametrize("alpha", [1e-6, 0.05])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logit_is_finite_at_black_and_white(alpha: float, dtype: torch.dtype) -> None:
    x = torch.tensor([[0.0, 0.5, 1.0]], dtype=dtype)
    y, log_det = Logit(alpha)(x)
    assert bool(torch.isfinite(y).all())
    assert bool(torch.isfinite(log_det).all())
    torch.testing.assert_close(Logit(alpha).inverse(y), x)
    assert float(y[0, 1].abs()) < 4 * torch.finfo(dtype).eps
    squash = alpha / (1 - 2 * alpha)
    extremes = Logit(alpha).inverse(torch.tensor([[-1e4, 1e4]], dtype=dtype))
    torch.testing.assert_close(extremes, torch.tensor([[-squash, 1 + squash]], dtype=dtype))


@pytest.mark.parametrize("shape", [(3, 4, 4), (5,)])
def test_act_norm_standardises_the_first_batch_only(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm = ActNorm(shape[0]).double().train()
    x = 3.0 + 2.0 * torch.randn(200, *shape, dtype=torch.float64)
    per_channel = norm(x)[0].detach().transpose(0, 1).flatten(1)
    torch.testing.assert_close(per_channel.mean(1), torch.zeros(shape[0], dtype=torch.float64), rtol=0.0, atol=1e-12)
    torch.testing.assert_close(per_channel.std(1), torch.ones(shape[0], dtype=torch.float64), rtol=1e-12, atol=0.0)
    assert int(norm.initialized) == 1
    before = norm.weight.detach().clone()
    norm(10.0 * x)
    assert torch.equal(norm.weight, before)


def test_act_norm_in_evaluation_does_not_start_itself() -> None:
    norm = ActNorm(2).eval()
    x = 5.0 + torch.randn(8, 2)
    assert torch.equal(norm(x)[0], x)
    assert int(norm.initialized) == 0


def test_act_norm_takes_a_constant_channel() -> None:
    norm = ActNorm(1).train()
    assert bool(torch.isfinite(norm(torch.full((4, 1, 2, 2), 3.0))[0]).all())


def test_squeeze_is_channel_major() -> None:
    x = torch.arange(8.0).view(1, 2, 2, 2)
    assert Squeeze()(x)[0].flatten().tolist() == list(range(8))
    assert Squeeze()(x)[0].shape == (1, 8, 1, 1)
