"""`--chunk` bounds how many samples pass any network at once; but for batch norms it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from copgen.data.loaders.loader import Batch
from copgen.data.skipped import Skipped
from copgen.distributed.ranks import Ranks
from copgen.encoders import ResNet
from copgen.stages.pretrain import monitor
from copgen.stages.pretrain.learner import Learner
from copgen.stages.pretrain.monitor import Monitor
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.pretrain.stage import open_data, open_loader, policy_for
from tests.stages.pretraining import KINDS, K, pretrain_settings

CPU = torch.device("cpu")
CHUNK = 6  # of 16: the last has four


@contextmanager
def rows_through(method: nn.Module) -> Iterator[set[int]]:
    """How many rows pass a backbone of the method at once."""
    rows: set[int] = set()
    backbones = [part for part in method.modules() if isinstance(part, ResNet)]
    hooks = [part.register_forward_pre_hook(lambda _, v: rows.add(len(v[0]))) for part in backbones]
    yield rows
    for hook in hooks:
        hook.remove()


def learner_of(settings: PretrainSettings) -> tuple[Learner, Batch]:
    """The learner and the first batch."""
    source = open_data(settings)
    T_x = policy_for(settings, source)
    loader = open_loader(settings, source, T_x, Skipped(0), CPU).loader
    try:
        return Learner(settings, source, T_x, 1, CPU, Ranks()), loader[range(settings.batch)]
    finally:
        loader.close()


@pytest.mark.parametrize("kind", ["sgd", "byol", "nnclr", "negft"])
def test_no_network_passes_more_than_a_chunk(pretrain_pairs: Path, kind: str) -> None:
    learner, batch = learner_of(pretrain_settings(pretrain_pairs, **KINDS[kind], chunk=CHUNK))
    with rows_through(learner.method) as rows:
        learner.backward(sum(learner.losses(batch.views, batch.labels).values(), start=torch.tensor(0.0)))
    together = len(batch.views) if learner.method.together else 1
    assert rows == {together * CHUNK, together * (K % CHUNK)}


@pytest.mark.parametrize("kind", ["byol", "negft"])
def test_with_fixed_statistics_the_losses_are_those_of_the_batch(pretrain_pairs: Path, kind: str) -> None:
    losses = []
    for chunk in (None, CHUNK):
        learner, batch = learner_of(pretrain_settings(pretrain_pairs, **KINDS[kind], chunk=chunk))
        learner.method.eval()
        losses.append(learner.losses(batch.views, batch.labels))
    assert losses[0].keys() == losses[1].keys()
    for name, loss in losses[0].items():
        torch.testing.assert_close(losses[1][name], loss, rtol=1e-5, atol=1e-6)


def test_the_monitor_passes_as_many_whatever_the_batch(pretrain_pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = pretrain_settings(pretrain_pairs, monitor_every=K, batch=40)
    learner, _ = learner_of(settings)
    source = open_data(settings)
    watching = Monitor(settings, source, policy_for(settings, source), Skipped(0), learner.method, CPU)
    whole = watching.metrics()
    monkeypatch.setattr(monitor, "ROWS", 24)
    with rows_through(learner.method) as rows:
        assert watching.metrics() == pytest.approx(whole, rel=1e-4)
    assert rows == {24, 80 % 24}
