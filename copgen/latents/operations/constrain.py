"""The constraint d(z, z') <= delta of Algorithm 1, for a batch of any latent transform.

report    says which rows violate it
reject    also orders the rows, so that those that violate it can be dropped
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
    """A batch checked against delta; d and the statistics are those of the input z'.

    Args:
        z_pos: z' (K, d): the input, or projected to delta in mode `project`.
        violates: d_k > delta, bool (K,).
        order: in mode `reject`, the row numbers, those within delta before the others, each in order, int64 (K,); the
            accepted ones are `order[: K - violations]`. It does not synchronise with the device.
    """

    z_pos: Tensor
    violates: Tensor
    order: Tensor | None


def constrain(z: Tensor, z_pos: Tensor, *, delta: float | None = None, mode: Mode = "report") -> Constrained:
    """Check the distances of a batch against delta; z' and d are differentiable once in z and z_pos.

    Args:
        z, z_pos: latents before and after, (K, d), floating; K may be 0.
        delta: bound on d, finite and not negative; None (only for `report`): no bound.
        mode: report, reject or project.

    Raises:
        UsageError: shapes, dtypes or devices that differ, an invalid delta, an unknown mode.
    """
    check_pair(z, z_pos)
    check_delta(delta)
    if mode not in get_args(Mode):
        raise unknown("mode", mode, get_args(Mode))
    if delta is None and mode != "report":
        raise UsageError(f"mode '{mode}' needs a delta.", fix="Pass a delta, or mode 'report'.")
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
