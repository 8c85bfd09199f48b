"""Recover the settings of a pairs folder from its plan, so that `sample --only 17` needs no other flag.

The plan identifies files by their hashes; their paths are in `places.json` (`copgen.pairs.places`), and the files found
there are checked against the hashes again.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from copgen.generators import weights_directory
from copgen.generators.registry import KNOWN
from copgen.pairs import Plan, read_plan
from copgen.pairs.places import Places, Role
from copgen.pairs.store import Store
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.sample.nearest import space_name
from copgen.stages.sample.remaining import require_plan
from copgen.stages.sample.settings import SampleSettings

# Settings that the generator, transform and filter of a plan record under the same names, unless they are the default.
_OF_THE_GENERATOR = ("precision", "memory_format", "inverse", "conditions", "compile")
_OF_THE_TRANSFORM = ("std", "rotation_gain", "pool")
_OF_THE_FILTER = ("min_d", "max_d", "min_similarity", "max_similarity", "attempts")


def settings_of_folder(store: Store, *, named: Container[str] = ()) -> dict[str, Any]:
    """The settings of `sample` for the pairs in a folder; None is the default of the generator.

    Args:
        store: of the folder.
        named: the roles of files that the user passes, which are not looked up.

    Raises:
        DataError: the plan is missing or invalid, or one of its files is not at its recorded path.
        UsageError: a plan of imported pairs.
    """
    require_plan(store)
    plan = read_plan(store)
    if not isinstance(plan, Plan):
        raise UsageError(
            f"{store.where()} holds pairs of `{plan.command}`, which `copgen sample` cannot regenerate.",
            fix=f"Use {plan.command} --only.",
        )
    known: dict[str, Any] = _files(store, [role for role in _roles(plan) if role not in named])
    if (space := plan.transform.settings.get("features")) is not None and "features" not in named:
        known["features"] = f"{space}:{known['features']}" if "features" in known else space
    return {**_of_plan(plan), **known}


def _of_plan(plan: Plan) -> dict[str, Any]:
    """The settings that are in a plan."""
    generator, transform = plan.generator.settings, plan.transform.settings
    rows = generator.get("condition_list")
    rules = plan.filter.model_dump(exclude={"encoder_sha256"}) if plan.filter is not None else {}
    return {
        **{name: getattr(plan, name) for name in Plan.model_fields if name in SampleSettings.model_fields},
        "n": plan.pairs,
        "generator": plan.generator.name,
        **{name: generator.get(name, _default(name)) for name in _OF_THE_GENERATOR},
        "condition_list": tuple(int(row) for row in rows.split()) if isinstance(rows, str) else None,
        **_prior(plan),
        "transform": plan.transform.name,
        **{name: transform.get(name, _default(name)) for name in _OF_THE_TRANSFORM},
        **{name: rules.get(name, _default(name)) for name in _OF_THE_FILTER},
    }


def _default(name: str) -> Any:
    return SampleSettings.model_fields[name].default


def _prior(plan: Plan) -> dict[str, Any]:
    """The settings of the prior, if the generator has a choice; plug-ins do not."""
    known = KNOWN.get(plan.generator.name)
    chosen = known is not None and known.has_priors
    truncated = chosen and plan.prior.name == "truncated_normal"
    return {
        "prior": plan.prior.name if chosen else None,
        "truncation_scale": plan.prior.settings["scale"] if truncated else None,
        "truncation_threshold": plan.prior.settings["threshold"] if truncated else None,
    }


def places_of(settings: SampleSettings) -> Places:
    """The paths of the files that these settings name and their plan identifies by hashes."""
    named: Mapping[Role, Path | None] = {
        "weights": settings.weights or _found_weights(settings.generator),
        "instances": settings.instances,
        "navigator": settings.navigator if settings.transform == "optimal" else None,
        "walk": settings.walk if settings.transform == "steering" else None,
        "features": _space_file(settings) if settings.transform == "nearest" else None,
        "filter_encoder": settings.filter_encoder,
    }
    return Places.of({role: path for role, path in named.items() if path is not None})


def _space_file(settings: SampleSettings) -> Path | None:
    """The path in the name of the feature space, if it has one."""
    path = space_name(settings.features or "").partition(":")[2]
    return Path(path) if path else None


def _found_weights(name: str) -> Path | None:
    """The default weights, unless they ship with copgen: the environment determines their path."""
    known = KNOWN.get(name)
    return weights_directory.find(name, known.files) if known is not None and known.embedded is None else None


def _roles(plan: Plan) -> Iterator[Role]:
    """The roles of the files of a plan."""
    yield "weights"
    yield "instances"
    if plan.transform.name == "optimal":
        yield "navigator"
    if plan.transform.name == "steering":
        yield "walk"
    if plan.transform.name == "nearest":
        yield "features"
    if plan.filter is not None and plan.filter.encoder_sha256 is not None:
        yield "filter_encoder"


def _files(store: Store, roles: Sequence[Role]) -> dict[str, Path]:
    """The recorded paths of these files.

    Raises:
        DataError: a file is missing, or places.json is invalid.
    """
    places = Places.load(store)
    found = {role: path for role in roles if (path := places.path(role)) is not None}
    if gone := {role: path for role, path in found.items() if not path.exists()}:
        missing = ", ".join(f"the {role.replace('_', ' ')} at {path}" for role, path in gone.items())
        options = " and ".join(f"--{role.replace('_', '-')}" for role in gone)
        raise DataError(
            f"Files of the pairs in {store.where()} are missing: {missing}.",
            fix=f"Pass their paths with {options}.",
        )
    return {str(role): path for role, path in found.items()}
