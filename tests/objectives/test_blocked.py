"""The losses of batches with many tiles, against the plain reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.objectives import info_nce, reference, sup_con
from copgen.objectives.blocked import one_pass, one_tile, tiles
from copgen.runtime.errors import UsageError


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 4 x 6, so that a few rows already give whole, partial, mirrored and diagonal tiles."""
    monkeypatch.setattr(tiles, "HEIGHT", 4)
    monkeypatch.setattr(tiles, "WIDTH", 6)
    monkeypatch.setattr(one_pass, "STRIP", 5)
    monkeypatch.setattr(one_tile, "fits", lambda call: False)


def rows(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return reference.normalize(torch.randn(count, 5, generator=generator, dtype=torch.float64)).requires_grad_()


@pytest.mark.parametrize("temperature", [0.3, 0.02])
@pytest.mark.parametrize("further", [0, 5, 13])
@pytest.mark.parametrize("anchors", ["first", "both"])
@pytest.mark.parametrize("k", [2, 4, 6, 7, 12, 13, 25])
def test_info_nce_is_exact_whatever_the_tiles_cut(k: int, anchors: Any, further: int, temperature: float) -> None:
    inputs = [rows(k, 0), rows(k, 1), *([rows(further, 2)] if further else [])]
    queue = inputs[2] if further else None
    losses = info_nce(
        inputs[0],
        inputs[1],
        negatives=queue,
        temperature=temperature,
        anchors=anchors,
        normalized=True,
        reduction="none",
    )
    expected = reference.info_nce(inputs[0], inputs[1], queue, temperature, both=anchors == "both")
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-13)
    upstream = torch.linspace(-1, 2, len(losses), dtype=torch.float64)
    found, exact = (torch.autograd.grad(x, inputs, upstream) for x in (losses, expected))
    for own, other in zip(found, exact, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.3, 0.02])
@pytest.mark.parametrize("classes", [1, 3, 100])
@pytest.mark.parametrize("n", [2, 4, 7, 12, 13, 25])
def test_sup_con_is_exact_whatever_the_tiles_cut(n: int, classes: int, temperature: float) -> None:
    z, labels = rows(n, 0), torch.arange(n) * 7 % classes
    losses = sup_con(z, labels, temperature=temperature, normalized=True, reduction="none")
    expected = reference.sup_con(z, labels, temperature)[0]
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-13)
    upstream = torch.linspace(-1, 2, n, dtype=torch.float64)
    found, exact = (torch.autograd.grad(x, z, upstream)[0] for x in (losses, expected))
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("needed", ["h", "h_pos", "negatives", "tau", "h h_pos", "h h_pos negatives tau"])
@pytest.mark.parametrize("further", [1, 13])
@pytest.mark.parametrize("k", [2, 5, 6, 12, 23])
def test_the_gradient_made_in_the_forward_pass_is_exact(k: int, further: int, needed: str) -> None:
    """And only inputs that require a gradient get one."""
    given = {
        "h": rows(k, 0).detach() * 3,
        "h_pos": rows(k, 1).detach(),
        "negatives": rows(further, 2).detach() * 0.2,
        "tau": torch.tensor([0.3], dtype=torch.float64),
    }
    inputs = [given[name].requires_grad_() for name in needed.split()]
    h, h_pos, negatives, tau = given.values()
    loss = info_nce(h, h_pos, negatives=negatives, temperature=tau)
    assert "OnePass" in type(loss.grad_fn).__name__
    units = [reference.normalize(x) for x in (h, h_pos, negatives)]
    expected = reference.info_nce(units[0], units[1], units[2], tau, both=False).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-13, atol=0)
    exact = torch.autograd.grad(expected, inputs, torch.tensor(-1.7, dtype=torch.float64))
    for _ in range(2):  # the saved tensors are not modified
        found = torch.autograd.grad(loss, inputs, torch.tensor(-1.7, dtype=torch.float64), retain_graph=True)
        for own, other in zip(found, exact, strict=True):
            torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"reduction": "none"}, "rows with upstream gradients of their own"),
        ({"anchors": "both"}, "two directions"),
        ({"temperature": 0.02}, "a maximum for each row"),
    ],
    ids=str,
)
def test_the_gradient_waits_for_the_backward_pass_where_it_must(changed: dict[str, Any], why: str) -> None:
    loss = info_nce(rows(7, 0), rows(7, 1), **{"temperature": 0.1, **changed})
    assert "OnePass" not in type(loss.grad_fn).__name__, why


def test_rows_that_are_not_normalized_as_claimed_are_not_treated_as_unit_rows() -> None:
    """Their logits would overflow without a maximum per row."""
    h, h_pos = (rows(7, seed).detach().float() * 10 for seed in (0, 1))
    loss = info_nce(h.requires_grad_(), h_pos, temperature=0.5, normalized=True)
    assert "OnePass" not in type(loss.grad_fn).__name__
    assert loss.isfinite()


def test_the_gradient_in_half_precision_is_cast_after_multiplying_by_the_upstream_gradient() -> None:
    """A loss scale keeps small gradients in half precision from underflowing."""
    h, h_pos = (rows(23, seed).detach().half().requires_grad_() for seed in (0, 1))
    loss = info_nce(h, h_pos, temperature=0.1)
    assert "OnePass" in type(loss.grad_fn).__name__
    (found,) = torch.autograd.grad(loss * 2.0**-12, h, torch.tensor(2.0**12), retain_graph=True)
    (tiny,) = torch.autograd.grad(loss * 2.0**-24, h, torch.tensor(2.0**24))
    assert found.dtype == torch.float16
    assert torch.equal(found, tiny)


def test_the_gradient_made_in_the_forward_pass_has_no_gradient_itself() -> None:
    h, h_pos = rows(7, 0), rows(7, 1)
    with pytest.raises(UsageError, match="no second derivative"):
        torch.autograd.grad(info_nce(h, h_pos, temperature=0.3), h, create_graph=True)
