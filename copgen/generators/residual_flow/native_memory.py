"""Anderson acceleration by the native operator, with one pass over an item's memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from copgen.runtime.native import native


class NativeMemory:
    """A `Memory` of all items, in two tensors that the operator updates in place.

    vectors (N, 2 + 2 m, D): the base, which is the t of the last accepted point and finally the result; its f; q and s
    of each direction. scalars (N, 1 + m): ||f|| of the base, infinite before the first; 1 / <q, q> of each direction,
    or 0 for none.
    """

    def __init__(self, start: Tensor, bound: Tensor, window: int) -> None:
        items, dim = start.shape
        self._bound, self._turn, self._window = bound, 0, window
        self._vectors = start.new_empty(items, 2 + 2 * window, dim)
        self._scalars = start.new_zeros(items, 1 + window)
        self._scalars[:, 0] = math.inf

    @property
    def result(self) -> Tensor:
        return self._vectors[:, 0]

    def advance(self, x: Tensor, proposal: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        slot = self._turn % max(1, self._window)
        self._turn += 1
        following, left = torch.ops.copgen.anderson_step.default(
            x, proposal, rows, self._bound, self._vectors, self._scalars, slot
        )
        return following, left


def _shapes(
    x: Tensor, proposal: Tensor, rows: Tensor, bound: Tensor, vectors: Tensor, scalars: Tensor, slot: int
) -> tuple[Tensor, Tensor]:
    left = torch.library.get_ctx().new_dynamic_size()
    return x.new_empty((left, x.shape[1])), rows.new_empty(left)


if native().usable:
    torch.library.register_fake("copgen::anderson_step", _shapes)
