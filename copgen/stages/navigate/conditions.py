"""The conditions of pairs, and the divisors of a batch: ranks, and the classes of the supervised objective."""

from __future__ import annotations

import torch
from torch import Tensor

from copgen import generators
from copgen.distributed.ranks import check_divides
from copgen.generators.class_batches import check_classes, draw_classes
from copgen.generators.conditions import Conditions
from copgen.runtime.errors import UsageError
from copgen.stages.navigate.settings import NavigateSettings


def check_batch(settings: NavigateSettings, *, world: int) -> None:
    """Refuse a batch that is not divisible by the number of ranks or classes."""
    check_divides(settings.batch, parts(settings, world))


def parts(settings: NavigateSettings, world: int) -> dict[str, int]:
    """The divisors of a batch, by name."""
    found = {f"{world} ranks": world} if world > 1 else {}
    if settings.objective == "sup_con":
        classes = settings.classes_of_a_batch
        found["classes of two images" if settings.classes is None else f"{classes} classes"] = (
            2 if settings.classes is None else classes
        )
    return found


def check_conditions(settings: NavigateSettings, G: generators.Generator) -> None:
    """Refuse the supervised objective for a generator with no or too few classes."""
    if settings.objective == "sup_con":
        classes = settings.classes_of_a_batch
        if G.condition_rule != Conditions():
            raise UsageError(
                "Objective 'sup_con' draws the classes of each batch itself; conditions or condition_list was given.",
                fix="Leave out --conditions and --condition-list.",
            )
        check_classes(batch=settings.batch, classes=classes, count=G.conditions, name=G.name)


def draw_conditions(
    settings: NavigateSettings, G: generators.Generator, rows: range, *, device: torch.device
) -> Tensor | None:
    """The conditions that the images of pairs share: drawn by the generator, or a few classes with several images."""
    if settings.objective == "info_nce":
        return G.sample_condition(rows, settings.seed)
    return draw_classes(
        rows,
        batch=settings.batch,
        classes=settings.classes_of_a_batch,
        count=G.conditions,
        seed=settings.seed,
        device=device,
    )
