"""What each rank of a test of navigate runs: `main([WHAT, OUT])`, started by `launch`."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from copgen import views
from copgen.distributed import ranks as distributed
from copgen.distributed.ranks import Ranks, joined
from copgen.encoders.synchronised import synchronise
from copgen.evaluation.similarity.structural import StructuralSimilarity
from copgen.runtime.environment import placement
from copgen.runtime.errors import CopgenError, DataError, UsageError
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import navigate, one_update
from copgen.stages.navigate.stopping.perceptual import Perceptual
from copgen.stages.navigate.stopping.stopping import Stopping
from tests.stages.painter import Painter, painter_settings
from tests.stages.small import navigate_settings, write_flow

UPDATES = 20
RULES = itertools.product(("simultaneous", "alternating"), ("info_nce", "sup_con"))
FORMS: dict[str, dict[str, Any]] = {
    **{f"{rule} {objective}": {"update": rule, "objective": objective} for rule, objective in RULES},
    "centred": {"center": True, "noise_dim": 4, "random_sign": True},
    "three updates of f": {"encoder_updates": 3},
    "similarity penalty": {"similarity_penalty": 5.0, "similarity_kept": 0.999},
}
CPU = torch.device("cpu")


def follow(ranks: Ranks) -> dict[str, Any]:
    """Losses of twenty updates and the weights after them, for every update rule and objective, and other forms."""
    found: dict[str, Any] = {}
    for form, changes in FORMS.items():
        settings = painter_settings(**changes)
        G = Painter()
        game = Game(settings, G, CPU, ranks)
        stopping = watched(settings, G, game, ranks)
        losses = []
        for update in range(UPDATES):
            rows = range(update * settings.batch, (update + 1) * settings.batch)
            figures = one_update(settings, G, views.policy("mnist"), game, rows, ranks=ranks, stopping=stopping)
            if settings.updates_navigator(rows):
                names = ["loss_encoder", "loss_navigator", "d_mean", *(["penalty"] if stopping else [])]
                losses.append(torch.stack([figures[name] for name in names]))
        found[form] = {
            "losses": torch.stack(losses),
            **{f"T_z {name}": value for name, value in game.T_z.state_dict().items()},
            **{f"f {name}": value for name, value in game.f.state_dict().items()},
        }
    return found


def watched(settings: NavigateSettings, G: Painter, game: Game, ranks: Ranks) -> Stopping | None:
    """What holds the penalty, in the forms that have one."""
    if not settings.similarity_penalty:
        return None
    return Stopping(settings, [Perceptual(settings, G, game.navigator(), StructuralSimilarity(), ranks)])


def normalise(ranks: Ranks) -> dict[str, Any]:
    """Batch norms over the ranks, of images and of rows: their outputs, gradients and statistics."""
    return {f"{kind} {name}": value for kind in NORMS for name, value in _normalise(kind, ranks).items()}


NORMS: dict[str, tuple[type[nn.BatchNorm1d] | type[nn.BatchNorm2d], tuple[int, ...]]] = {
    "images": (nn.BatchNorm2d, (8, 3, 4, 4)),
    "rows": (nn.BatchNorm1d, (8, 3)),
}


def _normalise(kind: str, ranks: Ranks) -> dict[str, Any]:
    make, shape = NORMS[kind]
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=draw, dtype=torch.float64) * 2 + 1
    slope = torch.randn(shape, generator=draw, dtype=torch.float64)
    norm = make(3).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 2.0, -1.0]))
    f = synchronise(nn.Sequential(norm), ranks.group)
    own = ranks.share(range(8))
    mine = x[own.start : own.stop].clone().requires_grad_()
    y: Tensor = f(mine)
    torch.autograd.backward((y * slope[own.start : own.stop]).sum())
    gradients = {f"gradient {name}": parameter.grad for name, parameter in f.named_parameters()}
    state = {name: value.clone() for name, value in f.state_dict().items()}
    return {"y": y.detach(), "dx": mine.grad, **gradients, **state}


def refuse(ranks: Ranks) -> dict[str, Any]:
    """What every rank hears of an error that the last one alone has, and what it is told of rank 0."""
    heard = ""
    try:
        with ranks.together():
            if ranks.rank == ranks.world - 1:
                raise UsageError("The last rank is not content.", fix="Be kind.")
    except CopgenError as error:
        heard = f"{int(error.code)} {error}"
    tree = {"update": 3, "state": [torch.arange(4.0).view(2, 2), {"name": "x"}]} if ranks.first else None
    told = ranks.broadcast(tree)
    return {"heard": heard, "told": told, "any": [ranks.any(ranks.rank == 1), ranks.any(False)]}


def meet(ranks: Ranks) -> dict[str, Any]:
    """What the ranks hear that are about to communicate in a block which the last one leaves."""
    with ranks.together():
        ranks.meet()
        told = ranks.any(ranks.rank == 1)
    heard = ""
    try:
        with ranks.together():
            if ranks.rank == ranks.world - 1:
                raise DataError("The last rank has no data.")
            ranks.meet()
            ranks.any(True)
    except CopgenError as error:
        heard = f"{int(error.code)} {error}"
    return {"told": told, "heard": heard}


def begin(out: Path) -> None:
    """A run of which the last rank cannot load the generator."""
    distributed.PATIENCE = timedelta(seconds=30)
    settings = navigate_settings(write_flow(out / f"{placement().rank}.safetensors"))
    if placement().rank == placement().world - 1:
        settings = settings.replaced(weights=out / "none.safetensors")
    navigate(settings, out=out / "run")


def die(ranks: Ranks) -> None:
    """The last rank is killed while the others wait for it."""
    if ranks.rank == ranks.world - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.any(False)


def main(words: Sequence[str]) -> int:
    what, out = words
    try:
        if what == "begin":
            begin(Path(out))
        with joined(CPU) as (ranks, _):
            if what == "die":
                die(ranks)
            works = {"follow": follow, "normalise": normalise, "refuse": refuse, "meet": meet}
            torch.save({name: work(ranks) for name, work in works.items()}, Path(out) / f"{ranks.rank}.pt")
    except CopgenError as error:
        print(error, file=sys.stderr)
        return int(error.code)
    return 0
