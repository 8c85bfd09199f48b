"""Heads trained together are those trained alone, and those of torch's SGD; the probe chooses on what it is told."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from copgen.data.digits import load
from copgen.data.sampler import EpochSampler
from copgen.evaluation.linear_heads import LinearHeads, ranked_by
from copgen.evaluation.sgd_probe import FLOOR, scaled, train_heads
from copgen.runtime.errors import Diverged
from copgen.training.schedules import Cosine

RATES = (0.03, 0.3, 3.0)
CLASSES, DIM = 5, 12


def data(images: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % CLASSES
    features = torch.randn(images, DIM, generator=generator, dtype=dtype)
    features[torch.arange(images), labels] += 1.5
    return features, labels


def batches(features: Tensor, labels: Tensor, size: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    order = EpochSampler(len(labels), 0)[range(epoch * len(labels), (epoch + 1) * len(labels))]
    for part in torch.split(order, size):
        yield features[part], labels[part]


def heads_of(rates: tuple[float, ...]) -> LinearHeads:
    return LinearHeads(DIM, CLASSES, rates, dtype=torch.float64)


def test_heads_together_are_heads_alone() -> None:
    train, validation = data(103, 0), data(50, 1)
    together = train_heads(heads_of(RATES), lambda epoch: batches(*train, 16, epoch), validation, epochs=5)
    alone = [
        train_heads(heads_of((rate,)), lambda epoch: batches(*train, 16, epoch), validation, epochs=5) for rate in RATES
    ]
    assert together.history == tuple(zip(*[[epoch[0] for epoch in one.history] for one in alone], strict=True))
    best = max(range(len(RATES)), key=lambda head: (alone[head].best.top1, alone[head].best.epoch, -head))
    assert (together.best.head, together.best.epoch) == (best, alone[best].best.epoch)
    torch.testing.assert_close(together.best.weight, alone[best].best.weight, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(together.last.bias, alone[best].last.bias, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rate", RATES)
def test_a_head_is_a_linear_layer_under_torchs_sgd(rate: float) -> None:
    features, labels = data(96, 0)
    heads, schedule = heads_of((rate,)), Cosine(1.0, 4, final=FLOOR)
    layer = torch.nn.Linear(DIM, CLASSES, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate, momentum=0.9)
    for epoch in range(1, 5):
        optimizer.param_groups[0]["lr"] = rate * schedule(epoch)
        for some, wanted in batches(features, labels, 20, epoch):
            heads.step(some, wanted, scale=schedule(epoch))
            optimizer.zero_grad()
            torch.autograd.backward(torch.nn.functional.cross_entropy(layer(some), wanted))
            optimizer.step()
    weight, bias = heads.head(0)
    torch.testing.assert_close(weight, layer.weight.detach().T, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(bias, layer.bias.detach(), rtol=1e-10, atol=1e-12)


def test_the_schedule_is_the_authors() -> None:
    schedule = Cosine(1.75, 60, final=FLOOR)
    floor = 1.75 * 0.2**3
    for epoch in (1, 30, 60):
        expected = floor + (1.75 - floor) * (1 + np.cos(np.pi * epoch / 60)) / 2
        assert schedule(epoch) == pytest.approx(expected)
    assert scaled((2.0, 6.0), 224) == [1.75, 5.25]
    assert scaled((2.0, 6.0), 64) == [0.5, 1.5]  # appendix D: real and synthetic MNIST


def test_the_accuracy_is_that_of_scikit_learns_regression_on_digits() -> None:
    parts = {split: load(split) for split in ("train", "validation", "test")}
    flat = {split: (part.images.flatten(1), part.labels) for split, part in parts.items()}
    train, validation, test = flat["train"], flat["validation"], flat["test"]
    heads = LinearHeads(64, 10, scaled((0.06, 0.2, 0.6, 2.0, 6.0), 64))
    probe = train_heads(heads, lambda epoch: batches(*train, 64, epoch), validation, epochs=60)
    ours = float((ranked_by(probe.best.weight, probe.best.bias, test[0])[:, 0] == test[1]).double().mean())
    theirs = LogisticRegression(max_iter=2000).fit(*(part.numpy() for part in train))
    assert ours == pytest.approx(theirs.score(*(part.numpy() for part in test)), abs=0.005)


def test_a_head_that_diverges_is_not_chosen_and_all_of_them_are_an_error() -> None:
    train, validation = data(100, 0, torch.float32), data(50, 1, torch.float32)
    mixed = LinearHeads(DIM, CLASSES, (1e38, 0.3))
    probe = train_heads(mixed, lambda epoch: batches(*train, 16, epoch), validation, epochs=3)
    assert probe.best.head == 1
    assert [epoch[0] for epoch in probe.history] == [0.0, 0.0, 0.0]
    hopeless = LinearHeads(DIM, CLASSES, (1e38,))
    with pytest.raises(Diverged):
        train_heads(hopeless, lambda epoch: batches(*train, 16, epoch), validation, epochs=3)


def test_ranked_classes_of_a_head() -> None:
    features, _ = data(20, 0)
    weight, bias = torch.randn(DIM, CLASSES, dtype=torch.float64), torch.randn(CLASSES, dtype=torch.float64)
    ranked = ranked_by(weight, bias, features, most=3)
    assert ranked.tolist() == (features @ weight + bias).argsort(dim=1, descending=True)[:, :3].tolist()
