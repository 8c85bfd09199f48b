"""The constraint d(z, z') <= delta of Algorithm 1, for a batch of whatever latent transform.

report    says which rows violate it
reject    and which rows keep to it, so that the others can be left out
project   shrinks the displacement of those that violate it to delta
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from copgen.latents.operations import reference
from copgen.latents.operations.checks import check_delta, check_pair
from copgen.latents.operations.shift import Shift
from copgen.runtime.dispatch import choose
from copgen.runtime.errors import UsageError, unknown

Mode = Literal["report", "reject", "project"]


@dataclass(frozen=True)
class Constrained(Shift):
    """A batch that was held against delta; d and the statistics are those of z' as it came.

    Args:
        z_pos: z' (K, d): as it came, or within delta for mode `project`.
        violates: d_k > delta, bool (K,).
        order: for mode `reject` the rows' numbers, those that keep to delta before those that do not, each in their
            order, int64 (K,); the kept ones are `order[: K - violations]`. Nothing is fetched from the device for it.
    """

    z_pos: Tensor
    violates: Tensor
    order: Tensor | None


def constrain(z: Tensor, z_pos: Tensor, *, delta: float | None = None, mode: Mode = "report") -> Constrained:
    """Hold the distances of a batch against delta; differentiable once, z' and d in z and z_pos.

    Args:
        z, z_pos: latents before and after, (K, d), floating; K may be 0.
        delta: bound on d, finite and not negative; None, for `report` alone, is no bound.
        mode: report, reject or project.

    Raises:
        UsageError: shapes, dtypes or devices that differ, a delta that cannot be, an unknown mode.
    """
    check_pair(z, z_pos)
    check_delta(delta)
    if mode not in get_args(Mode):
        raise unknown("mode", mode, get_args(Mode))
    if delta is None and mode != "report":
        raise UsageError(f"mode '{mode}' has no delta.", fix="Give a delta, or report.")
    if choose("constrain", z.device, z.dtype).name == "native":
        from copgen.latents.operations import operators

        projected, d, violates, order, stats = operators.constrain(z, z_pos, delta, mode)
    else:
        projected, d, violates, order, stats = reference.constrain(z, z_pos, delta, mode)
    return Constrained(
        d=d,
        stats=stats,
        z_pos=projected if mode == "project" else z_pos,
        violates=violates,
        order=order if mode == "reject" else None,
    )
