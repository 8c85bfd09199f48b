"""Fixed points x = T(x) of contractions, item by item, by Anderson acceleration with a guard.

With t_k = T(x_k) and the residual f_k = t_k - x_k, plain iteration takes x_{k+1} = t_k. Anderson's (1965; "type II" in
Walker and Ni 2011) stores how t changed with f in the last few steps, and takes the point that minimises f by linear
extrapolation:

    x_{k+1} = t_k - sum_i gamma_i s_i,    gamma minimises ||f_k - sum_i gamma_i q_i||,

where (q_i, s_i) is the change of (f, t) in a step. The q are orthogonalised (Gram-Schmidt), so that
gamma_i = <q_i, f_k> / <q_i, q_i>.

The guard: if an extrapolation does not lower ||f||, its point is dropped and the plain step is taken from the previous
point. So any two evaluations lower ||f|| by DECREASE or by the Lipschitz constant L, for any contraction T, and the
result is within L / (1 - L) ||f|| of the fixed point. A plain step that raises ||f|| shows that T is not a contraction:
the item ends as NaN.

Legend: N items, n of them still iterated (`rows`), D coordinates, m directions (`window`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from copgen.runtime.dispatch import choose

DECREASE = 0.99
LOST = 64.0  # rounding errors: a q that orthogonalisation leaves less of points anywhere

Map = Callable[[Tensor, Tensor], Tensor]


class Memory(Protocol):
    """The state of the iteration, created from x (N, D), the bound (N,) and m."""

    @property
    def result(self) -> Tensor:
        """T(x) of the items that have ended, (N, D)."""

    def advance(self, x: Tensor, proposal: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The next x, and the rows of the items that continue, from x and T(x) (n, D)."""


def fixed_point(
    T: Map,
    start: Tensor,
    bound: Tensor,
    *,
    window: int,
    max_rounds: int,
    remember: Callable[[Tensor, Tensor, int], Memory] | None = None,
) -> Tensor | None:
    """The fixed points of T, (N, ...); None if some items do not converge.

    Args:
        T: maps x (n, ...) of the items `rows` (n,), an ordered subset, to T(x).
        start: (N, ...).
        bound: (N,). An item ends with T(x) once max |T(x) - x| is at most that, or is NaN.
        window: number of stored directions; 0: plain iteration.
        max_rounds: maximum number of evaluations.
        remember: the implementation; by default the native one if available.
    """
    x = start.flatten(1)
    rows = torch.arange(len(x), device=x.device)
    memory = (remember or memory_of(x))(x, bound, window)
    for _ in range(max_rounds):
        if len(rows) == 0:
            break
        proposal = T(x.view(-1, *start.shape[1:]), rows).flatten(1)
        x, rows = memory.advance(x, proposal, rows)
    return memory.result.reshape(start.shape) if len(rows) == 0 else None


def memory_of(x: Tensor) -> Callable[[Tensor, Tensor, int], Memory]:
    """The implementation for x."""
    if choose("fixed points", x.device, x.dtype).name != "native":
        return PlainMemory
    from copgen.generators.residual_flow.native_memory import NativeMemory  # needs the native library

    return NativeMemory


class PlainMemory:
    """The reference implementation of `Memory`, in PyTorch."""

    def __init__(self, start: Tensor, bound: Tensor, window: int) -> None:
        self.result = torch.empty_like(start)
        self._bound, self._window = bound, window
        self._base: list[Tensor] = []  # t, f (n, D), ||f|| (n,)
        self._directions: list[list[Tensor]] = []  # of each: q, s (n, D), 1 / <q, q> or 0 (n,)

    def advance(self, x: Tensor, proposal: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """See `Memory.advance`."""
        f = proposal - x
        point = [proposal, f, torch.linalg.vector_norm(f, dim=1)]
        moves = f.abs().amax(1) > self._bound  # false for a NaN
        if not bool(moves.all()):
            point, rows = self._end(point, rows, ~moves)
        if self._base and bool((point[2] > DECREASE * self._base[2]).any()):
            point, rows = self._guard(point, rows)
        if self._base and self._window:
            self._remember(point)
        self._base = point
        following, f, _ = point
        for q, s, weight in self._directions:
            following = torch.addcmul(following, s, (-weight * torch.linalg.vecdot(q, f))[:, None])
        return following, rows

    def _end(self, point: list[Tensor], rows: Tensor, ended: Tensor) -> tuple[list[Tensor], Tensor]:
        """Store the t of these items as results, and drop them."""
        self.result[rows[ended]] = point[0][ended]
        left = (~ended).nonzero()[:, 0]
        self._bound = self._bound.index_select(0, left)
        self._base = [one.index_select(0, left) for one in self._base]
        self._directions = [[one.index_select(0, left) for one in direction] for direction in self._directions]
        return [one.index_select(0, left) for one in point], rows.index_select(0, left)

    def _guard(self, point: list[Tensor], rows: Tensor) -> tuple[list[Tensor], Tensor]:
        """The points; items whose last extrapolation failed return to their base, without directions."""
        t, f, norm = point
        before = self._base[2]
        extrapolated = torch.zeros_like(norm, dtype=torch.bool)
        for _, _, weight in self._directions:
            extrapolated |= weight > 0
        grown = ~extrapolated & (norm > before + math.sqrt(t.shape[1]) * self._bound)  # by more than rounding
        if bool(grown.any()):
            return self._guard(*self._end([t.masked_fill(grown[:, None], math.nan), f, norm], rows, grown))
        refused = extrapolated & (norm > DECREASE * before)
        for direction in self._directions:
            direction[2] = direction[2].masked_fill(refused, 0.0)
        back = refused[:, None]
        old_t, old_f, _ = self._base
        return [torch.where(back, old_t, t), torch.where(back, old_f, f), torch.where(refused, before, norm)], rows

    def _remember(self, point: list[Tensor]) -> None:
        """The direction from the base to the point, orthogonal to the others; with weight 0 if the base stays."""
        limits = torch.finfo(point[1].dtype)
        s, q = point[0] - self._base[0], point[1] - self._base[1]
        whole = torch.linalg.vecdot(q, q)
        self._directions = self._directions[max(0, len(self._directions) - self._window + 1) :]
        for other_q, other_s, weight in self._directions:
            c = (-weight * torch.linalg.vecdot(other_q, q))[:, None]
            q.addcmul_(other_q, c)
            s.addcmul_(other_s, c)
        square = torch.linalg.vecdot(q, q)
        least = (LOST * limits.eps) ** 2 * whole + limits.tiny
        self._directions.append([q, s, torch.where(square > least, 1.0 / square, 0.0)])
