"""Every method around a tiny backbone in float64, and its training over ranks, `main([FOLDER])`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from copgen.distributed.ranks import Ranks, joined
from copgen.encoders.resnet import Architecture, ResNet
from copgen.encoders.synchronised import synchronise
from copgen.methods.defaults import settings_of
from copgen.methods.method import Method, pass_views
from copgen.methods.registry import build
from copgen.runtime.seeds import seeded
from copgen.training.data_parallel import averaging_gradients
from copgen.training.optimizers import build_optimizer

CPU = torch.device("cpu")
K, SIDE, UPDATES = 8, 6, 20
TINY = Architecture("basic", (1, 1), (4, 8), "small")

GIVEN: dict[str, dict[str, Any]] = {
    "simclr": {"projector": (8, 6)},
    "supcon": {"projector": (8, 6)},
    "byol": {"projector": (8, 6), "predictor": 8, "momentum": 0.9, "momentum_schedule": "cosine"},
    "nnclr": {"projector": (8, 8, 6), "predictor": 8, "queue": 12},
    "negft": {"projector": (8, 6), "queue": 12, "momentum": 0.9},
    "negft-inbatch": {"projector": (8, 6)},
}
NAMES = [*GIVEN]


def tiny(name: str, *, views: int = 2, ranks: Ranks | None = None, **given: Any) -> Method:
    """A method in float64 and in training mode, from seed 0."""
    settings = settings_of(name, {**GIVEN[name], **given})
    with seeded(0, "test"):
        method = build(settings, ResNet(TINY, in_channels=1), seed=0, updates=UPDATES, views=views, ranks=ranks)
    return method.double().train()


def batch(update: int, views: int = 2, rows: range = range(K)) -> tuple[tuple[Tensor, ...], Tensor]:
    """Views (K, 1, SIDE, SIDE) and classes of the global batch of an update; of these rows."""
    draw = torch.Generator().manual_seed(update)
    x = torch.randn(K, 1, SIDE, SIDE, generator=draw, dtype=torch.float64)
    seen = [x + 0.5 * torch.randn(x.shape, generator=draw, dtype=torch.float64) for _ in range(views)]
    labels = torch.randint(3, (K,), generator=draw)
    return tuple(v[rows.start : rows.stop] for v in seen), labels[rows.start : rows.stop]


def train(name: str, ranks: Ranks, updates: range = range(UPDATES), method: Method | None = None) -> dict[str, Any]:
    """Losses of the updates over all ranks, and the state after them."""
    method = method or tiny(name, ranks=ranks)
    synchronise(method, ranks.group)
    f = averaging_gradients(method.f, ranks)
    optimizer = build_optimizer("sgd", method.f, lr=0.05)
    losses = []
    for update in updates:
        seen, labels = batch(update, rows=ranks.share(range(K)))
        outputs = pass_views(f, seen[: method.trained_views], together=method.together)
        loss = method.loss(outputs, method.frozen(seen), labels)["loss"]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        method.after_step(update)
        losses.append(ranks.mean(loss))
    return {"losses": torch.stack(losses), "state": state(method)}


def state(method: Method) -> dict[str, Tensor]:
    """What a checkpoint holds."""
    return {
        f"{part} {name}": value.clone()
        for part, module in method.parts.items()
        for name, value in module.state_dict().items()
    }


def main(words: Sequence[str]) -> int:
    (folder,) = words
    with joined(CPU) as (ranks, _):
        torch.save({name: train(name, ranks) for name in NAMES}, Path(folder) / f"{ranks.rank}.pt")
    return 0
