"""InfoNCE with dual negatives on CUDA: launches the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
from torch import Tensor

from . import wide
from .device_functions import WEAKEST
from .info_nce_backward import finish_gradients, gradients
from .info_nce_forward import finish_losses, sum_negatives
from .input_precision import input_precision
from .launch_grid import backward_splits, forward_splits, shares_shift, width_of
from .normalize import rows_at_once
from .tile_table import tile_for

MOST_SEARCHED = 16384  # rows up to which every program finds the largest weight itself; above, a separate launch does
ROWS_OF_ONE_PROGRAM = 2048  # rows up to which a single program computes the mean of the losses


def forward(
    h: Tensor,
    h_pos: Tensor,
    negatives: Tensor | None,
    h_all: Tensor,
    h_pos_all: Tensor,
    *,
    offset: int,
    both: bool,
    temperature: float | Tensor,
    bounded: bool,
    mean: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, () with `mean`, else (R,); per contrasted row (R,) log-sum-exp in base 2, and 1 - P(positive)."""
    pairs, D = h.shape
    contrasted = pairs * (1 + both)
    running = not shares_shift(temperature, bounded)
    tile = tile_for("sums", h, contrasted, running=running)
    row_tiles = triton.cdiv(pairs, tile.rows) * (1 + both)
    columns = 2 * h_all.shape[0] + (0 if negatives is None else negatives.shape[0])
    splits = forward_splits(h.device, row_tiles, triton.cdiv(columns, tile.columns))
    totals = h.new_empty((splits, contrasted), dtype=torch.float32)
    tops = torch.empty_like(totals) if running else totals
    common: dict[str, Any] = {"D": D, "LEARNT": isinstance(temperature, Tensor), "RUNNING": running}
    sum_negatives[(row_tiles, splits)](
        h, h_pos, h if negatives is None else negatives, h_all, h_pos_all, temperature, totals, tops,
        pairs, h_all.shape[0], 0 if negatives is None else negatives.shape[0], offset, splits,
        BOTH=both, HAS_NEGATIVES=negatives is not None, INPUT_PRECISION=input_precision(),
        BLOCK_R=tile.rows, BLOCK_C=tile.columns, BLOCK_D=tile.depth or width_of(D),
        num_warps=tile.warps, num_stages=tile.stages, **common,
    )  # fmt: skip
    lse, lost = (h.new_empty(contrasted, dtype=torch.float32) for _ in range(2))
    alone = mean and contrasted <= ROWS_OF_ONE_PROGRAM
    losses = h.new_empty(() if alone else contrasted, dtype=torch.float32)
    block_d = min(width_of(D), 128)
    block_r = rows_at_once(block_d) if alone else 32
    steps = triton.cdiv(contrasted, block_r)
    finish_losses[(1 if alone else steps,)](
        h, h_pos, totals, tops, temperature, losses, lse, lost,
        pairs, contrasted, splits, steps if alone else 1, 1.0 / contrasted,
        MEAN=alone, BLOCK_R=block_r, BLOCK_D=block_d, num_warps=4, **common,
    )  # fmt: skip
    return losses.mean() if mean and not alone else losses, lse, lost


def backward(
    h: Tensor,
    h_pos: Tensor,
    negatives: Tensor | None,
    h_all: Tensor,
    h_pos_all: Tensor,
    lse_all: Tensor,
    weight_all: Tensor,
    lost_all: Tensor,
    *,
    offset: int,
    both: bool,
    temperature: float | Tensor,
    bounded: bool,
    scale: float,
    lengths: Sequence[Tensor] | None,
    dtypes: Sequence[torch.dtype],
    needs: Sequence[bool],
) -> tuple[list[Tensor | None], Tensor]:
    """The gradients of h, h_pos and negatives, None where not needed, and <dz, z> of their rows."""
    pairs, D = h.shape
    further = 0 if negatives is None else negatives.shape[0]
    segments = [h, h_pos, h if negatives is None else negatives]
    needed = [needs[0], needs[1], needs[2] and further > 0]
    out = [
        torch.empty(z.shape, dtype=t, device=z.device) if need else None
        for z, t, need in zip(segments, dtypes, needed, strict=True)
    ]
    rows_in_all = 2 * pairs + further
    radial = (torch.empty if all(needed[:2]) and (needed[2] or not further) else torch.zeros)(
        rows_in_all, dtype=torch.float32, device=h.device
    )
    search = len(lse_all) <= MOST_SEARCHED and not wide.is_wide(h)
    strongest = lost_all if search else strongest_weight(weight_all, lost_all)
    running = not shares_shift(temperature, bounded)
    # Placeholders for arguments that the kernels do not read.
    segment_lengths = [radial] * 3 if lengths is None else [*lengths, *[radial] * (3 - len(lengths))]
    rows = (h, h_pos, segments[2])
    numbers = (lse_all, weight_all, lost_all, strongest, temperature)
    written = (*(h if x is None else x for x in out), *segment_lengths, radial)
    counts = [pairs, h_all.shape[0], further, offset, scale]
    common: dict[str, Any] = {
        "D": D,
        "BOTH": both,
        "HAS_NEGATIVES": further > 0,
        "LEARNT": isinstance(temperature, Tensor),
        "ROW_WEIGHTS": weight_all.dim() > 0,
        "HAS_LENGTH": lengths is not None,
    }
    sizes = [pairs, pairs, further]
    partial: Tensor | None = None
    splits = 1
    if wide.is_wide(h):
        partial = wide.pull(
            h, h_pos, negatives, h_all, h_pos_all, lse_all, weight_all, lost_all, strongest, temperature,
            offset=offset, both=both, running=running, needs=needed,
        )  # fmt: skip
    else:
        tile = tile_for("gradients", h, rows_in_all, running=running)
        tiles = [triton.cdiv(size, tile.rows) * need for size, need in zip(sizes, needed, strict=True)]
        columns = h_all.shape[0] * 2 + further
        splits = backward_splits(h.device, sum(tiles), triton.cdiv(columns, tile.columns))
        if splits > 1:
            partial = torch.empty((splits, rows_in_all, D), dtype=torch.float32, device=h.device)
        gradients[(sum(tiles), splits)](
            *rows, h_all, h_pos_all, *numbers, *written, radial if partial is None else partial,
            *counts, tiles[0], tiles[1], rows_in_all, splits,
            RUNNING=running, SEARCH=search, SPLIT=partial is not None, INPUT_PRECISION=input_precision(),
            BLOCK_R=tile.rows, BLOCK_C=tile.columns, BLOCK_D=width_of(D),
            num_warps=tile.warps, num_stages=tile.stages, **common,
        )  # fmt: skip
    if partial is not None:
        block_d = triton.next_power_of_2(D)
        block_r = rows_at_once(block_d)
        tiles = [triton.cdiv(size, block_r) * need for size, need in zip(sizes, needed, strict=True)]
        finish_gradients[(sum(tiles),)](
            *rows, *numbers, *written, partial, *counts, tiles[0], tiles[1], rows_in_all, splits,
            SCALED=wide.is_wide(h), BLOCK_R=block_r, BLOCK_D=block_d, num_warps=4, **common,
        )  # fmt: skip
    return [*out], radial


def strongest_weight(weight_all: Tensor, lost_all: Tensor) -> Tensor:
    """The largest |g| (1 - P(positive)), (), by which the weights are scaled to fit float16."""
    if weight_all.dim() == 0:
        return lost_all.amax().clamp_min(WEAKEST.value)
    size = weight_all.abs()
    return torch.maximum((size * lost_all).amax(), size.amax() * WEAKEST.value)
