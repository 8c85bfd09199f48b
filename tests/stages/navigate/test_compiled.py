"""`--compile`: the same updates as without, in one graph for each network."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import generators, views
from copgen.distributed.ranks import Ranks
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import one_update
from tests.generators import narrow
from tests.stages.painter import Painter, painter_settings

# The compiler looks at it itself, and hides the warning from users.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
CPU = torch.device("cpu")


def losses(settings: NavigateSettings, G: generators.Generator, updates: int) -> torch.Tensor:
    """Of f and of T_z, and d(z, z'), (updates, 3)."""
    torch.compiler.reset()
    game = Game(settings, G, CPU)
    T_x, K, found = views.policy(settings.views), settings.batch, []
    for update in range(updates):
        figures = one_update(settings, G, T_x, game, range(update * K, (update + 1) * K), ranks=Ranks())
        found.append(torch.stack([figures[name].double() for name in ("loss_encoder", "loss_navigator", "d_mean")]))
    return torch.stack(found)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What torch.compile has traced; it is differentiated as ever, and run operation by operation."""
    from torch._dynamo.backends.registry import lookup_backend  # slow to import, and here alone

    traced: list[Any] = []
    run: Any = lookup_backend("aot_eager")

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        traced.append(graph)
        return run(graph, inputs)

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    return traced


@pytest.mark.parametrize(("rule", "count"), [("simultaneous", 3), ("alternating", 4)])
def test_compiled_updates_are_the_eager_ones(rule: str, count: int, graphs: list[Any]) -> None:
    eager = losses(painter_settings(update=rule), Painter(), 3)
    assert graphs == []
    compiled = losses(painter_settings(update=rule, compile="default"), Painter(), 3)
    torch.testing.assert_close(compiled, eager, rtol=1e-9, atol=1e-9)
    assert bool((eager.std(dim=0) > 1e-4).all())
    assert len(graphs) == count  # G without a gradient and with one; f likewise, where it is run twice


def test_a_flow_is_left_as_it_is(flow: Path, graphs: list[Any]) -> None:
    settings = painter_settings(compile="default")
    G = generators.load("digits", weights=flow)
    losses(settings, G, 2)
    assert len(graphs) == 1


def bigbigan(folder: Path, **changes: Any) -> tuple[NavigateSettings, generators.Generator]:
    path = narrow.published("bigbigan", folder)
    settings = painter_settings(generator="bigbigan", weights=path, batch=2, **changes)
    return settings, settings.load_generator(CPU)


@pytest.mark.soak
@pytest.mark.timeout(900)  # inductor calls a C++ compiler for every kernel
@pytest.mark.parametrize(
    ("rule", "layout", "checkpointing"),
    [
        ("simultaneous", "contiguous", False),
        ("alternating", "channels_last", True),
    ],
)
def test_inductors_updates_are_the_eager_ones(rule: str, layout: str, checkpointing: bool, tmp_path: Path) -> None:
    eager = losses(*bigbigan(tmp_path, update=rule), 3)
    compiled = losses(
        *bigbigan(
            tmp_path, update=rule, memory_format=layout, activation_checkpointing=checkpointing, compile="default"
        ),
        3,
    )
    torch.testing.assert_close(compiled, eager, rtol=1e-6, atol=1e-6)
