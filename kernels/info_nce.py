"""InfoNCE with dual negatives on CUDA: launches the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from copgen.objectives.batch import Pairs

MOST_SEARCHED = 16384  # rows up to which every program finds the largest weight itself; above, a separate launch does
ROWS_OF_ONE_PROGRAM = 2048  # rows up to which a single program computes the mean of the losses


def forward(batch: Pairs, *, mean: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, () with `mean`, else (R,); per contrasted row (R,) log-sum-exp in base 2, and 1 - P(positive)."""
    (h, h_pos, *_), negatives, temperature = batch.units, batch.negatives, batch.temperature
    pairs, D = h.shape
    pairs_all, further = batch.h_all.shape[0], 0 if negatives is None else negatives.shape[0]
    contrasted = pairs * (1 + batch.both)
    running = not shares_shift(temperature, batch.bounded)
    tile = tile_for("sums", h, contrasted, running=running)
    row_tiles = triton.cdiv(pairs, tile.rows) * (1 + batch.both)
    splits = forward_splits(h.device, row_tiles, triton.cdiv(2 * pairs_all + further, tile.columns))
    totals = h.new_empty((splits, contrasted), dtype=torch.float32)
    tops = torch.empty_like(totals) if running else totals
    common: dict[str, Any] = {"D": D, "LEARNT": isinstance(temperature, Tensor), "RUNNING": running}
    sum_negatives[(row_tiles, splits)](
        h, h_pos, h if negatives is None else negatives, batch.h_all, batch.h_pos_all, temperature, totals, tops,
        pairs, pairs_all, further, batch.offset, splits,
        BOTH=batch.both, HAS_NEGATIVES=negatives is not None, INPUT_PRECISION=input_precision(),
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
    batch: Pairs, lse_all: Tensor, weight_all: Tensor, lost_all: Tensor, *, scale: float, needs: list[bool]
) -> tuple[list[Tensor | None], Tensor]:
    """The gradients of h, h_pos and negatives, None where not needed, and <dz, z> of their rows."""
    (h, h_pos, *_), negatives, temperature = batch.units, batch.negatives, batch.temperature
    pairs, D = h.shape
    pairs_all, further = batch.h_all.shape[0], 0 if negatives is None else negatives.shape[0]
    rows = (h, h_pos, h if negatives is None else negatives)
    needed = [needs[0], needs[1], needs[2] and further > 0]
    out = [torch.empty_like(z, dtype=batch.dtype) if need else None for z, need in zip(rows, needed, strict=True)]
    rows_in_all = 2 * pairs + further
    radial = (torch.empty if all(needed[:2]) and (needed[2] or not further) else torch.zeros)(
        rows_in_all, dtype=torch.float32, device=h.device
    )
    search = len(lse_all) <= MOST_SEARCHED and not wide.is_wide(h)
    strongest = lost_all if search else strongest_weight(weight_all, lost_all)
    running = not shares_shift(temperature, batch.bounded)
    numbers = (lse_all, weight_all, lost_all, strongest, temperature)
    # Placeholders for arguments that the kernels do not read. A kernel selects among its outputs at run time, so all
    # have one dtype.
    lengths = [*batch.lengths, *[radial] * (3 - len(batch.lengths))]
    unread = next((x for x in out if x is not None), h)
    written = (*(unread if x is None else x for x in out), *lengths, radial)
    counts = [pairs, pairs_all, further, batch.offset, scale]
    common: dict[str, Any] = {
        "D": D, "BOTH": batch.both, "HAS_NEGATIVES": further > 0, "LEARNT": isinstance(temperature, Tensor),
        "ROW_WEIGHTS": weight_all.dim() > 0, "HAS_LENGTH": len(batch.lengths) > 0,
    }  # fmt: skip
    sizes = [pairs, pairs, further]
    partial: Tensor | None = None
    splits = 1
    if wide.is_wide(h):
        partial = wide.pull(batch, numbers, running=running, needs=needed)
    else:
        tile = tile_for("gradients", h, rows_in_all, running=running)
        tiles = [triton.cdiv(size, tile.rows) * need for size, need in zip(sizes, needed, strict=True)]
        splits = backward_splits(h.device, sum(tiles), triton.cdiv(2 * pairs_all + further, tile.columns))
        if splits > 1:
            partial = torch.empty((splits, rows_in_all, D), dtype=torch.float32, device=h.device)
        gradients[(sum(tiles), splits)](
            *rows, batch.h_all, batch.h_pos_all, *numbers, *written, radial if partial is None else partial,
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
