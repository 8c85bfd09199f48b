"""What a run of `copgen sample` finds in its folder, and so has left to make."""

from __future__ import annotations

from collections.abc import Sequence

from copgen.pairs import Plan, layout, missing_shards, read_plan
from copgen.pairs.store import Store
from copgen.runtime.errors import DataError, UsageError


def with_threads(plan: Plan, store: Store, threads: int | None) -> Plan:
    """The plan with a number of threads, on a CPU: convolutions depend on it in their last bits.

    So it must not follow from the machine or the number of workers, or a shard would not be a function of the plan.
    One thread is the default: workers use the other cores better than further threads do.
    """
    if plan.device != "cpu":
        return plan
    if threads is None:
        there = read_plan(store) if store.size(layout.PLAN) is not None else None
        threads = there.threads if isinstance(there, Plan) else 1
    return plan.model_copy(update={"threads": threads})


def pairs_left(store: Store, plan: Plan, only: Sequence[int] = ()) -> int:
    """How many pairs of a plan are not in the folder, or are in the shards that are to be made anew.

    Raises:
        UsageError: the folder holds another plan, or has no such shard.
        DataError: no pairs folder, where shards are to be made anew.
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
    """Refuse shards that the folder does not have, and settings that are not those it was made with.

    Raises:
        UsageError: such a number, or the differences of the plans.
        DataError: no pairs folder.
    """
    require_plan(store)
    plan.check_same(
        store,
        fix="Leave out what differs, or say where the very files are: --weights, --instances, --navigator, --walk, "
        "--filter-encoder.",
    )
    for number in only:
        if number >= plan.shards:
            raise UsageError(f"There is no shard {number} in {store.where()}; it has 0 to {plan.shards - 1}.")


def require_plan(store: Store) -> None:
    """Refuse a place without a plan.

    Raises:
        DataError: there is none.
    """
    if store.size(layout.PLAN) is None:
        raise DataError(
            f"{store.where(layout.PLAN)} is missing, and --only makes shards of the plan that is there.",
            fix="Name a pairs folder with --out, or leave out --only.",
        )
