"""Conditions of conditional generators: rows of a table of classes or instances, drawn and checked.

A pair shares its condition, so T_z moves inside a sub-space (appendices C.5 and E). The condition of pair k is drawn
by (seed, k): uniformly or balanced, over all rows or some of them.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from copgen.runtime import philox
from copgen.runtime.device_copies import to_device
from copgen.runtime.errors import UsageError


class Conditions(BaseModel):
    """How conditions are drawn.

    `uniform` draws each row independently. `balanced` goes through all rows in a new random order, again and again, so
    that every run of `count` indices holds each row once: 1,300,000 anchors of 1,000 classes are 1,300 of each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["uniform", "balanced"] = "uniform"
    only: tuple[int, ...] | None = Field(default=None, min_length=1, description="the rows to draw from; None: all")

    def draw(self, indices: philox.Rows, count: int, *, seed: int, device: torch.device) -> Tensor:
        """Row numbers in [0, count), int64 (N,); row k is a function of (seed, indices[k])."""
        among = count if self.only is None else len(self.only)
        drawn = (draw_rows if self.rule == "uniform" else deal_rows)(indices, among, seed=seed, device=device)
        return drawn if self.only is None else to_device(torch.tensor(self.only), device)[drawn]

    def check(self, count: int, *, name: str, kind: str) -> None:
        """Refuse rows that are not in the table of `count` rows of the generator `name`.

        Raises:
            UsageError: a row out of range, or a duplicate.
        """
        for row in self.only or ():
            if not 0 <= row < count:
                raise UsageError(f"There is no {kind} {row} in '{name}'; it has 0 to {count - 1}.")
        if self.only is not None and len(set(self.only)) < len(self.only):
            twice = next(row for row in self.only if self.only.count(row) > 1)
            raise UsageError(f"condition_list of '{name}' has {kind} {twice} twice.")

    @property
    def settings(self) -> dict[str, str]:
        """The entries in a plan; empty for the uniform draw over all rows."""
        said: dict[str, str] = {} if self.rule == "uniform" else {"conditions": self.rule}
        if self.only is not None:
            said["condition_list"] = " ".join(map(str, self.only))
        return said


def draw_rows(indices: philox.Rows, count: int, *, seed: int, device: torch.device) -> Tensor:
    """Uniform row numbers in [0, count), int64 (N,); row k is a function of (seed, indices[k])."""
    u = philox.uniform(seed, indices, 1, stream="conditions", device=device)[:, 0]
    return (u * count).long()


def deal_rows(indices: philox.Rows, count: int, *, seed: int, device: torch.device) -> Tensor:
    """Row numbers by permutations: indices k count to (k + 1) count - 1 get each row once, newly shuffled."""
    places = philox.as_rows(indices)  # where the indices are: the loop reads them
    rounds, place = places // count, places % count
    by_round = rounds.argsort()
    numbers, sizes = torch.unique_consecutive(rounds[by_round], return_counts=True)
    rows = torch.empty_like(places)
    for number, held in zip(numbers.tolist(), torch.split(by_round, sizes.tolist()), strict=True):
        order = to_device(philox.permutation(seed, count, stream=f"conditions/{number}"), places.device)
        rows[held] = order[place[held]]
    return to_device(rows, device)


def check_rows(
    condition: Tensor | None, count: int, *, name: str, kind: str, vector: str, width: int | None = None
) -> Tensor:
    """A valid condition of the generator `name`: row numbers (N,) below `count`, or vectors (N, width).

    Args:
        condition: the value to check.
        count: rows of the table; 0 without a table.
        name: name of the generator, for the error.
        kind: what a row is: class, instance.
        vector: what the vectors are: class weights, features.
        width: of the vectors; None: `count`.

    Raises:
        UsageError: None, another shape or dtype, or, on the CPU, a row out of range.
    """
    width = count if width is None else width
    if condition is None:
        raise UsageError(
            f"'{name}' needs a condition: {kind} indices (N,) or {vector} (N, {width}).",
            fix="Draw one with G.sample_condition(indices, seed).",
        )
    if condition.is_floating_point():
        if condition.dim() != 2 or condition.shape[1] != width:
            raise UsageError(f"'{name}' takes {vector} (N, {width}), not {tuple(condition.shape)}.")
        return condition
    if condition.dim() != 1 or condition.dtype == torch.bool:
        raise UsageError(
            f"'{name}' takes {kind} indices (N,), not {condition.dtype} of shape {tuple(condition.shape)}."
        )
    if count == 0:
        raise UsageError(
            f"'{name}' was loaded without stored instances, so it does not take {kind} indices.",
            fix="Load it with instances=FILE, or pass features.",
        )
    # Compiled code cannot branch on values, and CUDA would wait for all that is queued: there the lookup raises.
    if not torch.compiler.is_compiling() and condition.device.type == "cpu":
        outside = condition[(condition < 0) | (condition >= count)]
        if outside.numel():
            raise UsageError(f"There is no {kind} {int(outside[0])} in '{name}'; it has 0 to {count - 1}.")
    return condition.long()
