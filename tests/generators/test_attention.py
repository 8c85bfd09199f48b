"""Self-attention is the formula, in the form that fused kernels take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from copgen.generators.attention import SelfAttention
from copgen.generators.folded_weights import FoldedWeights

CHANNELS = 16
SHAPES = {"theta": (2, 16, 1, 1), "phi": (2, 16, 1, 1), "g": (8, 16, 1, 1), "o": (16, 8, 1, 1)}


class Plain(FoldedWeights):
    """Weights without spectral norm."""

    def raw(self, name: str) -> Tensor:
        return self.tensors[f"{name}.weight"]

    def sigma(self, name: str) -> float:
        return 1.0


def attention(dtype: torch.dtype = torch.float64) -> SelfAttention:
    draw = torch.Generator().manual_seed(0)
    tensors = {f"{name}.weight": torch.randn(shape, generator=draw) for name, shape in SHAPES.items()}
    tensors["gamma"] = torch.tensor([0.7])
    weights = Plain(tensors, dtype=dtype, channels_last=False)
    return SelfAttention(weights, gamma="gamma", theta="theta", phi="phi", g="g", o="o")


def test_it_is_the_formula() -> None:
    layer = attention()
    x = torch.randn(3, CHANNELS, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    theta, phi, g = layer.theta(x), F.max_pool2d(layer.phi(x), 2), F.max_pool2d(layer.g(x), 2)
    shares = torch.einsum("ncq,nck->nqk", theta.flatten(2), phi.flatten(2)).softmax(2)
    attended = torch.einsum("nqk,nck->ncq", shares, g.flatten(2)).reshape(3, -1, 8, 8)
    torch.testing.assert_close(layer(x), x + 0.7 * layer.o(attended), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_on_cuda_the_fused_kernels_can_take_it(layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take (N, heads, rows, width) with contiguous rows; needs no GPU."""
    given: list[Tensor] = []

    def attend(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        given.extend((query, key, value))
        return query @ key.transpose(-1, -2) @ value

    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    layer = attention(torch.bfloat16)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        held: list[dict[str, Any]] = [layer._buffers, *(part._parameters for part in layer.children())]
        for tensors in held:
            tensors.update(
                {name: mode.from_tensor(x).to("cuda") for name, x in tensors.items() if isinstance(x, Tensor)}
            )
        x = torch.empty(3, CHANNELS, 8, 8, dtype=torch.bfloat16, device="cuda").to(memory_format=layout)
        assert layer(x).shape == x.shape
    assert [(*part.shape,) for part in given] == [(3, 1, 64, 2), (3, 1, 16, 2), (3, 1, 16, 8)]
    assert all(part.stride(-1) == 1 for part in given)
