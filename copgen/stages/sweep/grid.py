"""The runs of a sweep: every combination of the values, with every seed, resolved and named before any of them starts.

delta=0.05,lr_navigator=0.0001/seed-0        the folder of a run below that of the sweep
seed-0                                       without values
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from copgen.runtime.declaration import declaration
from copgen.runtime.errors import UsageError, unknown
from copgen.runtime.settings import Settings, layered, resolve
from copgen.runtime.settings_files import Tree
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.sweep.settings import SweepSettings

MODELS: dict[str, type[NavigateSettings] | type[PretrainSettings]] = {
    "navigate": NavigateSettings,
    "pretrain": PretrainSettings,
}
KNOWN: dict[str, Tree] = {"pretrain": {"pairs": Path("pairs")}}  # as `copgen pretrain`
SEED = "seed"
_ODD = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class Planned:
    """A run of a sweep.

    Attributes:
        name: its folder, relative to that of the sweep.
        values: those of its combination, by setting.
        seed: its seed.
        settings: resolved.
    """

    name: str
    values: Mapping[str, Any]
    seed: int
    settings: NavigateSettings | PretrainSettings


def planned(sweep: SweepSettings) -> list[Planned]:
    """All runs, the seeds of a combination one after the other.

    Raises:
        UsageError: an unknown setting, a value that is invalid or given twice, none at all, or two runs that do not
            differ; the error says which.
    """
    values, seeds = axes(sweep)
    found: dict[str, Planned] = {}
    same: dict[str, str] = {}
    for combination in product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        for seed in seeds if seeds is not None else _seeds_from(sweep, chosen):
            settings = _resolved(sweep, {**chosen, SEED: seed})
            name = "/".join(filter(None, (named(chosen), f"seed-{seed}")))
            tree = json.dumps(settings.tree(), sort_keys=True)
            other = same.get(tree) or (name if name in found else None)
            if other is not None:
                raise UsageError(
                    f"The run with {_shown(chosen)} would be the same as {other}: not all of its values count.",
                    fix="Remove one of the values.",
                )
            same[tree] = name
            found[name] = Planned(name, chosen, seed, settings)
    return list(found.values())


def axes(sweep: SweepSettings) -> tuple[dict[str, tuple[Any, ...]], tuple[int, ...] | None]:
    """The values of each setting by its current name, and the seeds if they are given as values.

    Raises:
        UsageError: as `planned`.
    """
    model, found = MODELS[sweep.stage], {}
    names = names_of(model)
    for given, values in sweep.values.items():
        if (name := names.get(given)) is None:
            raise unknown(f"setting of {sweep.stage}", given, model.model_fields)
        if name in found:
            raise UsageError(f"{given} is another name of {name}, which is given too.", fix="Give its values once.")
        if not values:
            raise UsageError(f"{given} has no values.", fix=f"Give some, such as {given}=1,2.")
        for number, value in enumerate(values):
            if value in values[:number]:
                raise UsageError(f"{given} = {_text(value)} is given twice.", fix="Give every value once.")
        if name in sweep.settings or given in sweep.settings:
            raise UsageError(f"{given} has values, and one value for all runs.", fix="Leave out one of them.")
        found[name] = values
    seeds = found.pop(SEED, None)
    if seeds is not None and sweep.seeds != 1:
        raise UsageError("The values of seed, and a number of seeds, cannot both be given.", fix="Leave out one.")
    return found, seeds


def names_of(model: type[Settings]) -> dict[str, str]:
    """The current name of a setting by each of its names."""
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        if (declared := declaration(field)) is not None:
            found |= dict.fromkeys((*declared.also, *declared.former), name)
    return {**found, **{name: name for name in model.model_fields}}


def base(sweep: SweepSettings) -> Tree:
    """What all runs share, as plain values of JSON, without values that a file could not hold."""
    model = MODELS[sweep.stage]
    known = KNOWN.get(sweep.stage)
    tree = layered(
        model, sweep.stage, recipe=sweep.recipe, config=sweep.config, flags=dict(sweep.settings), known=known
    )
    found: Tree = json.loads(json.dumps(tree, default=str))
    return {name: value for name, value in found.items() if name not in model.free and name not in (SEED, "stage")}


def named(values: Mapping[str, Any]) -> str:
    """The name of a combination: 'delta=0.05,stop=band-loss-turn'; empty without values."""
    return ",".join(f"{name}={_ODD.sub('-', _text(value)).strip('-') or '-'}" for name, value in values.items())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {_text(value)}" for name, value in values.items())


def _resolved(sweep: SweepSettings, chosen: Mapping[str, Any]) -> NavigateSettings | PretrainSettings:
    """The settings of a run; an error that the values cause names them."""
    model = MODELS[sweep.stage]
    try:
        return resolve(
            model,
            sweep.stage,
            recipe=sweep.recipe,
            config=sweep.config,
            flags={**sweep.settings, **chosen},
            known=KNOWN.get(sweep.stage),
        )
    except UsageError as error:
        values = {name: value for name, value in chosen.items() if name != SEED}
        if not values:
            raise
        raise UsageError(f"{error.what} (In the run with {_shown(values)}.)", fix=error.fix) from None


def _seeds_from(sweep: SweepSettings, chosen: Mapping[str, Any]) -> tuple[int, ...]:
    first = _resolved(sweep, chosen).seed
    return tuple(range(first, first + sweep.seeds))
