"""From a plan back to the settings it was made with, so that `sample --only 17` needs no other flag.

A plan names files by their hashes and not by their paths: weights, navigators and walks are looked for where they are
by default, and a plan made with others is refused with the difference.
"""

from __future__ import annotations

from typing import Any

from copgen.pairs import Plan, read_plan
from copgen.pairs.store import Store
from copgen.runtime.errors import UsageError
from copgen.stages.sample_left import require_plan
from copgen.stages.sample_settings import SampleSettings

# Where a plan says it -> the setting that decides it.
_OF_THE_GENERATOR = ("precision", "memory_format", "inverse", "conditions")
_OF_THE_TRANSFORM = ("std", "rotation_gain")


def planned(store: Store) -> dict[str, Any]:
    """The settings of `sample` that the plan in a folder was made with; values that a generator has itself are there.

    Raises:
        DataError: no plan there, or a broken one.
        UsageError: one of pairs that were imported.
    """
    require_plan(store)
    plan = read_plan(store)
    if not isinstance(plan, Plan):
        raise UsageError(
            f"{store.where()} holds pairs of `{plan.command}`, which `copgen sample` cannot make.",
            fix=f"{plan.command} has --only, too.",
        )
    known = plan.generator.settings
    settings: dict[str, Any] = {
        **{name: getattr(plan, name) for name in Plan.model_fields if name in SampleSettings.model_fields},
        "n": plan.pairs,
        "generator": plan.generator.name,
        "prior": plan.prior.name if plan.prior.name == "truncated_normal" else None,
        "transform": plan.transform.name,
        **{name: known[name] for name in _OF_THE_GENERATOR if known.get(name) is not None},
        **{name: plan.transform.settings[name] for name in _OF_THE_TRANSFORM if name in plan.transform.settings},
    }
    if isinstance(rows := known.get("condition_list"), str):
        settings["condition_list"] = tuple(int(row) for row in rows.split())
    if plan.prior.name == "truncated_normal":
        settings["truncation_scale"] = plan.prior.settings["scale"]
        settings["truncation_threshold"] = plan.prior.settings["threshold"]
    if plan.filter is not None:
        settings |= plan.filter.model_dump(exclude={"encoder_sha256"})
    return settings
