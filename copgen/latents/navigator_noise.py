"""The random numbers of a stochastic navigator: the noise e of T_z(z, e), and the signs of displacements.

Row k is a function of (seed, which, k), with `which` the number of the positive.

Legend: K rows; E noise inputs.
"""

from __future__ import annotations

from torch import Tensor

from copgen.latents.operations import draw_latents
from copgen.latents.streams import stream_of
from copgen.runtime import philox
from copgen.runtime.errors import UsageError


def noise(z: Tensor, dim: int, *, seed: int, rows: philox.Rows | None, which: int) -> Tensor:
    """e (K, E), standard normal, of the latents z (K, d) with these numbers in the run; errors as `_checked`."""
    stream = stream_of("navigator/noise", which)
    return draw_latents(_checked(z, rows), dim=dim, seed=seed, stream=stream, device=z.device).to(z.dtype)


def signs(z: Tensor, *, seed: int, rows: philox.Rows | None, which: int) -> Tensor:
    """-1 or +1 for each latent, (K, 1); errors as `_checked`."""
    stream = stream_of("navigator/sign", which)
    return philox.signs(seed, _checked(z, rows), 1, stream=stream, device=z.device).to(z.dtype)


def _checked(z: Tensor, rows: philox.Rows | None) -> philox.Rows:
    """The rows.

    Raises:
        UsageError: they are missing, or are not as many as the latents.
    """
    if rows is None or len(rows) != len(z):
        given = "without their row numbers" if rows is None else f"with {len(rows):,} row numbers"
        raise UsageError(
            f"A stochastic navigator was called for {len(z):,} latents {given}.",
            fix="Pass seed, and rows: the number of each latent in the run, such as range(len(z)).",
        )
    return rows
