"""What the checks of stop rules cost: `python -m benchmarks.navigator_checks`.

A check of `perceptual` (MS-SSIM) and one of `probe`, against the updates between two checks at the default interval of
5,000 samples, interleaved. The generator `digits` with its recipe; BigBiGAN at the published width with random weights
and the recipe's ResNet-18, whose updates are measured at a small batch. The probe's images of BigBiGAN are random, 60
classes with five labels and 300 questions: the cost does not depend on what they show. A toy run has `digits` alone.
"""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from benchmarks import generators_weights, timing
from benchmarks.report import VERDICTS, head, measuring, milliseconds, options, progress, table, verdict, written
from copgen import generators, views
from copgen.distributed.ranks import Ranks
from copgen.evaluation.similarity import open_similarity
from copgen.runtime.events import Silent
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import one_update
from copgen.stages.navigate.stopping.check import Check
from copgen.stages.navigate.stopping.perceptual import Perceptual
from copgen.stages.navigate.stopping.probe import Probe
from copgen.stages.navigate.stopping.probe_images import ProbeImages, open_probe_images

MOST = 0.02  # of the navigator's time
UPDATE = "an update"
DIGITS, BIGBIGAN = "digits", "bigbigan"


@dataclass(frozen=True)
class Case:
    """A generator.

    Attributes:
        name: as the report calls it.
        settings: of the run.
        rounds: minimum and maximum.
    """

    name: str
    settings: NavigateSettings
    rounds: tuple[int, int]


def of_recipe(name: str, **changes: Any) -> NavigateSettings:
    """The settings of a recipe with changes."""
    recipe: dict[str, Any] = tomllib.loads(resources.files("copgen").joinpath(f"recipes/{name}.toml").read_text())
    return NavigateSettings.model_validate({**recipe["navigate"], "stop": "samples", "device": "cpu", **changes})


def cases(folder: Path, only: str | None, *, toy: bool) -> Iterable[Case]:
    """Both generators, or one of them."""
    if only in (None, DIGITS) or toy:
        yield Case(DIGITS, of_recipe("digits", probe_on="digits", **({"batch": 8} if toy else {})), (5, 20))
    if only in (None, BIGBIGAN) and not toy:
        wide = {"probe_on": "random images", "batch": 2, "weights": generators_weights.write("bigbigan", folder)}
        yield Case("BigBiGAN", of_recipe("bigbigan", **wide), (1, 1))


def random_images(settings: NavigateSettings, G: generators.Generator) -> ProbeImages:
    """As many images as a check asks, in [0, 1]."""
    draw, half, L = torch.Generator().manual_seed(0), settings.probe_images // 2, settings.probe_labels
    shape = (G.channels, G.image_size, G.image_size)
    labelled = torch.rand((1, half // L, L, *shape), generator=draw)
    queries = torch.rand((half, *shape), generator=draw)
    return ProbeImages("random images", labelled, queries, torch.arange(half) % (half // L), {})


def measured(case: Case, *, toy: bool) -> dict[str, timing.Timing]:
    """The times of an update and of each check."""
    settings = case.settings
    G, T_x = settings.load_generator(timing.CPU), views.policy(settings.views)
    game = Game(settings, G, timing.CPU)
    similarity = open_similarity("ms-ssim", device=timing.CPU, events=Silent())
    if settings.probe_on == "digits":
        images = open_probe_images(settings, G, T_x, device=timing.CPU, events=Silent())
    else:
        images = random_images(settings, G)
    checks: list[Check] = [
        Perceptual(settings, G, game.T_z, similarity, Ranks()),
        Probe(settings, game.T_z, images, game.features, Ranks()),
    ]

    def update() -> None:
        one_update(settings, G, T_x, game, range(settings.batch))

    def look(check: Check) -> None:
        check.look(game.T_z, 1)
        check.unread.clear()

    calls: dict[str, timing.Call] = {UPDATE: update, **{check.name: partial(look, check) for check in checks}}
    update()
    return timing.interleaved(calls, timing.CPU, rounds=case.rounds, seconds=60.0, toy=toy)


def report(only: str | None, *, toy: bool) -> Iterable[str]:
    """The whole benchmark as markdown."""
    lines, verdicts = [], []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder), only, toy=toy):
            progress(f"Measuring {case.name}.")
            found = measured(case, toy=toy)
            settings = case.settings
            between = found[UPDATE].median * settings.check_every / settings.batch
            rows = [(f"{UPDATE} of {settings.batch} samples", *found[UPDATE].cells, "-")]
            rows.append((f"updates of {settings.check_every:,} samples", milliseconds(between), "-", "-"))
            for name in (name for name in found if name != UPDATE):
                share = found[name].median / between
                rows.append((f"a check of `{name}`", *found[name].cells, f"{100 * share:.2f} %"))
                target = f"{case.name}, `{name}`: < {100 * MOST:.0f} % of the updates"
                verdicts.append(verdict(target, None if toy else f"{100 * share:.2f} %", met=share < MOST))
            lines += [f"## {case.name}, {settings.encoder}, `{settings.update}`", ""]
            lines += table(("what", "median ms", "10th-90th percentile", "share"), rows)
    yield from head("What the checks of stop rules cost", timing.machine(timing.CPU), toy=toy)
    yield from lines
    yield from table(VERDICTS, verdicts)


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    parser = options(__doc__, device=False)
    parser.add_argument("--generator", choices=(DIGITS, BIGBIGAN), help="only this one")
    given = parser.parse_args(arguments)
    with measuring(threads=1):
        return written(report(given.generator, toy=given.toy), given.out)


if __name__ == "__main__":
    main()
