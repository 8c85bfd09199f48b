"""Cached gradients: those of the whole batch, whatever the chunk."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from copgen.objectives import info_nce
from copgen.training.cached_gradients import CachedPass, Outputs

K, WIDTH = 12, 6


class Net(nn.Module):
    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(WIDTH, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.Tanh())
        self.head = nn.Linear(8, 4)
        self.double()

    def forward(self, v: Tensor) -> Outputs:
        y = self.body(v)
        return {"features": y, "projection": self.head(y)}


def through(net: Net, views: Sequence[Tensor]) -> tuple[Outputs, ...]:
    rows = net(torch.cat(tuple(views)))
    return tuple({name: values.chunk(len(views))[view] for name, values in rows.items()} for view in range(len(views)))


def loss_of(outputs: Sequence[Outputs]) -> Tensor:
    h, h_pos = (output["projection"] for output in outputs)
    return info_nce(h, h_pos, temperature=0.2, anchors="both")


def views() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(K, WIDTH, dtype=torch.float64, generator=draw) for _ in range(2)]


@pytest.mark.parametrize("chunk", [1, 5, 12, 100])
def test_gradients_are_those_of_the_whole_batch(chunk: int) -> None:
    whole, chunked = Net(norm=False), Net(norm=False)
    loss = loss_of(through(whole, views()))
    torch.autograd.backward(loss)
    cached = CachedPass(chunked, lambda part: through(chunked, part), chunk=chunk)
    found = loss_of(cached.outputs(views()))
    cached.backward(found)
    torch.testing.assert_close(found, loss, rtol=1e-12, atol=1e-13)
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(chunked.get_parameter(name).grad, parameter.grad, rtol=1e-10, atol=1e-13, msg=name)


def test_running_statistics_are_updated_once_for_each_chunk() -> None:
    net, plain = Net(norm=True), Net(norm=True)
    cached = CachedPass(net, lambda part: through(net, part), chunk=4)
    cached.backward(loss_of(cached.outputs(views())))
    for at in range(0, K, 4):
        through(plain, [v[at : at + 4] for v in views()])
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(net.get_buffer(name), buffer, msg=name)


def test_only_a_chunk_passes_at_a_time() -> None:
    net, seen = Net(norm=False), []

    def watched(part: Sequence[Tensor]) -> tuple[Outputs, ...]:
        seen.append((len(part[0]), torch.is_grad_enabled()))
        return through(net, part)

    cached = CachedPass(net, watched, chunk=5)
    cached.backward(loss_of(cached.outputs(views())))
    assert seen == [(5, False), (5, False), (2, False), (5, True), (5, True), (2, True)]
