"""L2-normalised rows, and gradients through the normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SHORTEST = 1e-12  # as the eps of F.normalize
LONGEST = 1.0 + 2.0**-7  # bfloat16 rows of length 1 are up to 1 + 2^-8 long after rounding


def operand(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the unit rows that embeddings of `dtype` become: half precision is slower than float32 on a CPU."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the losses of embeddings of `dtype`."""
    return operand(dtype)


def normalize(tensors: Sequence[Tensor], dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """The rows (N, D) of each tensor over their lengths, in `dtype`; and the lengths (N,), at least `SHORTEST`."""
    units, lengths = [], []
    for x in tensors:
        length = torch.linalg.vector_norm(x, dim=1, dtype=dtype).clamp_min_(SHORTEST)
        units.append(torch.div(x.to(dtype), length[:, None]).contiguous())
        lengths.append(length)
    return units, lengths


def bounded(units: Sequence[Tensor]) -> bool:
    """Whether rows that are passed as normalised have length <= 1, up to rounding."""
    return all(bool(torch.linalg.vector_norm(z, dim=1, dtype=operand(z.dtype)).max() < LONGEST) for z in units)


def gradient_of_rows(dz: Tensor, z: Tensor, length: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The gradient of x, where z = x / max(|x|, SHORTEST), or of z itself without `length`; and the sum of <dz, z>.

    Args:
        dz, z: (N, D); `dz` is overwritten.
        length: (N,), or None if the rows were given with length 1.
        dtype: what the gradient is cast to.
    """
    radial = torch.linalg.vecdot(dz, z)
    if length is not None:
        # A row that was divided by SHORTEST instead of its length has length < 1.
        dz.addcmul_((radial * (length > SHORTEST))[:, None], z, value=-1.0).div_(length[:, None])
    return dz.to(dtype), radial.sum()
