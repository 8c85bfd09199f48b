"""Heads with batch normalisation against lightly's, which hold the same layers in the same order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from copgen.encoders import mlp

N, WIDTHS = 8, (16, 24, 6)


def agree(ours: nn.Module, theirs: nn.Module) -> None:
    """The same outputs and gradients with the same weights."""
    theirs = theirs.double()
    ours.double().load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(N, WIDTHS[0], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    results = []
    for head in (ours, theirs):
        own = x.clone().requires_grad_()
        y = head(own)
        results.append([y, *torch.autograd.grad(y.square().sum(), [own, *head.parameters()])])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["BYOLProjectionHead", "BYOLPredictionHead", "NNCLRPredictionHead"])
def test_a_head_whose_output_is_not_normalised(name: str) -> None:
    agree(mlp(WIDTHS), getattr(pytest.importorskip("lightly.models.modules.heads"), name)(*WIDTHS))


def test_a_head_whose_output_is_normalised() -> None:
    heads = pytest.importorskip("lightly.models.modules.heads")
    agree(mlp((16, 24, 24, 6), norm_last=True), heads.NNCLRProjectionHead(*WIDTHS))


def test_layers_before_a_batch_norm_have_no_bias() -> None:
    linear = [module for module in mlp((4, 5, 6), norm_last=True) if isinstance(module, nn.Linear)]
    assert [layer.bias for layer in linear] == [None, None]
    last = mlp((4, 5, 6))[-1]
    assert isinstance(last, nn.Linear)
    assert last.bias is not None
