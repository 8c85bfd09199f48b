"""The checks that the settings of a run ask for."""

from __future__ import annotations

from copgen import generators, views
from copgen.evaluation.similarity import open_similarity
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stopping.check import Check
from copgen.stages.navigate.stopping.perceptual import Perceptual
from copgen.stages.navigate.stopping.probe import Probe
from copgen.stages.navigate.stopping.probe_images import open_probe_images
from copgen.training.run import Run


def open_checks(
    settings: NavigateSettings, G: generators.Generator, T_x: views.Policy, game: Game, run: Run
) -> list[Check]:
    """They are opened with what they read; T_z is untrained. Errors as `open_similarity` and `open_probe_images`."""
    found: list[Check] = []
    T_z = game.navigator()
    if (name := settings.watched_similarity) is not None:
        similarity = open_similarity(name, device=run.device, events=run.events)
        found.append(Perceptual(settings, G, T_z, similarity, run.ranks))
    if settings.probe_on is not None:
        images = open_probe_images(settings, G, T_x, device=run.device, events=run.events)
        found.append(Probe(settings, T_z, images, game.features, run.ranks))
    return found
