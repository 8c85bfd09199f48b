"""The losses of batches that take many tiles, against the plain reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.objectives import info_nce, reference, sup_con
from copgen.objectives.blocked import one_tile, tiles


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 4 x 6, so that a few rows already have whole, partial, mirrored and diagonal ones."""
    monkeypatch.setattr(tiles, "HEIGHT", 4)
    monkeypatch.setattr(tiles, "WIDTH", 6)
    monkeypatch.setattr(one_tile, "fits", lambda *batch, **direction: False)


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
