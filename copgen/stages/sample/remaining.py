"""The shards that a run of `copgen sample` still has to write, given what its folder holds."""

from __future__ import annotations

from collections.abc import Sequence

from copgen.pairs import Plan, layout, missing_shards, read_plan
from copgen.pairs.store import Store
from copgen.runtime.errors import DataError, UsageError


def with_threads(plan: Plan, store: Store, threads: int | None) -> Plan:
    """The plan with a number of threads, on a CPU: the last bits of convolutions depend on it.

    It must not depend on the machine or the number of workers, or a shard would not be a function of the plan. The
    default is one thread: workers use the other cores better than threads.
    """
    if plan.device != "cpu":
        return plan
    if threads is None:
        there = read_plan(store) if store.size(layout.PLAN) is not None else None
        threads = there.threads if isinstance(there, Plan) else 1
    return plan.model_copy(update={"threads": threads})


def pairs_left(store: Store, plan: Plan, only: Sequence[int] = ()) -> int:
    """The number of pairs of a plan that are not in the folder, or are in the shards to regenerate.

    Raises:
        UsageError: the folder holds another plan, or has no such shard.
        DataError: not a pairs folder, with shards to regenerate.
    """
    if only:
        check_only(store, plan, only)
        numbers = list(only)
    elif store.size(layout.PLAN) is None:
        return plan.pairs
    else:
        plan.check_same(store)
        numbers = missing_shards(store, plan)
    return sum(len(plan.shard_range(number)) for number in numbers)


def check_only(store: Store, plan: Plan, only: Sequence[int]) -> None:
    """Refuse shards that the folder does not have, and settings that differ from its plan.

    Raises:
        UsageError: with the number, or the differences of the plans.
        DataError: not a pairs folder.
    """
    require_plan(store)
    plan.check_same(
        store,
        fix="Leave out what differs, or pass the original files: --weights, --instances, --navigator, --walk, "
        "--features, --filter-encoder.",
    )
    for number in only:
        if number >= plan.shards:
            raise UsageError(
                f"There is no shard {number} in {store.where()}.", fix=f"Pass a number from 0 to {plan.shards - 1}."
            )


def require_plan(store: Store) -> None:
    """Refuse a place without a plan.

    Raises:
        DataError: there is none.
    """
    if store.size(layout.PLAN) is None:
        raise DataError(
            f"{store.where(layout.PLAN)} is missing; --only needs an existing pairs folder.",
            fix="Pass a pairs folder with --out, or leave out --only.",
        )
