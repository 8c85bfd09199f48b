"""SupCon "out" on CUDA: launches the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import triton
from torch import Tensor

from . import wide
from .device_functions import WEAKEST
from .input_precision import input_precision
from .launch_grid import backward_splits, forward_splits, shares_shift, width_of
from .normalize import rows_at_once
from .sup_con_kernels import finish_gradients, finish_losses, gradients, sum_by_label, write_weights
from .tile_table import tile_for

if TYPE_CHECKING:
    from copgen.objectives.batch import Labelled


def forward(batch: Labelled) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per row (N,): the loss, log-sum-exp in base 2, 1 - P(positives), and the number of positives, int64."""
    z, z_all, temperature = batch.z, batch.z_all, batch.temperature
    count, D = z.shape
    running = not shares_shift(temperature, batch.bounded)
    tile = tile_for("label_sums", z, count, running=running)
    row_tiles = triton.cdiv(count, tile.rows)
    splits = forward_splits(z.device, row_tiles, triton.cdiv(z_all.shape[0], tile.columns))
    negatives, positives, logits, counts = z.new_empty((4, splits, count), dtype=torch.float32)
    tops = z.new_empty((2, splits, count), dtype=torch.float32) if running else (negatives, positives)
    sum_by_label[(row_tiles, splits)](
        z, batch.labels, z_all, batch.labels_all, temperature, negatives, tops[0], positives, tops[1], logits, counts,
        count, z_all.shape[0], batch.offset, splits,
        D=D, LEARNT=isinstance(temperature, Tensor), RUNNING=running, INPUT_PRECISION=input_precision(),
        BLOCK_R=tile.rows, BLOCK_C=tile.columns, BLOCK_D=tile.depth or width_of(D),
        num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    losses, lse, lost = (z.new_empty(count, dtype=torch.float32) for _ in range(3))
    count_of = torch.empty(count, dtype=torch.int64, device=z.device)
    finish_losses[(triton.cdiv(count, 128),)](
        negatives, tops[0], positives, tops[1], logits, counts, losses, lse, lost, count_of, count, splits,
        RUNNING=running, BLOCK_R=128, num_warps=4,
    )  # fmt: skip
    return losses, lse, lost, count_of


def backward(
    batch: Labelled, lse_all: Tensor, lost_all: Tensor, count_all: Tensor, weight_all: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradient of z (N, D), and <dz, z> of its rows."""
    z, z_all, temperature = batch.z, batch.z_all, batch.temperature
    count, D = z.shape
    g = torch.where(count_all > 0, weight_all.float().expand_as(lse_all), 0.0).contiguous()
    lone = count_all == 1
    targets = g * torch.where(lone, lost_all, 1.0 / count_all.clamp(min=1).float())
    size = g.abs()
    strongest = (size * torch.where(lone, lost_all, 1.0)).amax()
    # Below this share of the largest upstream gradient, weights are not scaled up further; if all gradients are zero,
    # any finite scale will do.
    strongest = torch.maximum(strongest, size.amax() * WEAKEST.value)
    strongest = torch.where(strongest > 0, strongest, 1.0)
    given = (z, batch.labels, z_all, batch.labels_all, lse_all, g, targets, count_all, strongest, temperature)
    common: dict[str, Any] = {"D": D, "LEARNT": isinstance(temperature, Tensor)}
    running = not shares_shift(temperature, batch.bounded)
    settings = common | {"RUNNING": running, "INPUT_PRECISION": input_precision()}
    splits = 1
    if wide.is_wide(z):
        partial = torch.empty((1, count, D), dtype=torch.float32, device=z.device)
        tile = tile_for("label_weights", z, count, running=running)
        height = wide.chunk_rows(z_all)
        for start in range(0, count, height):
            stop = min(start + height, count)
            weights = torch.empty((stop - start, z_all.shape[0]), dtype=z.dtype, device=z.device)
            write_weights[(triton.cdiv(stop - start, tile.rows), triton.cdiv(z_all.shape[0], tile.columns))](
                *given, weights, start, stop, z_all.shape[0], batch.offset,
                BLOCK_R=tile.rows, BLOCK_C=tile.columns, BLOCK_D=tile.depth,
                num_warps=tile.warps, num_stages=tile.stages, **settings,
            )  # fmt: skip
            wide.add_product(partial[0, start:stop].zero_(), weights, z_all)
    else:
        tile = tile_for("label_gradients", z, count, running=running)
        row_tiles = triton.cdiv(count, tile.rows)
        splits = backward_splits(z.device, row_tiles, triton.cdiv(z_all.shape[0], tile.columns))
        partial = torch.empty((splits, count, D), dtype=torch.float32, device=z.device)
        gradients[(row_tiles, splits)](
            *given, partial, count, z_all.shape[0], batch.offset, splits,
            BLOCK_R=tile.rows, BLOCK_C=tile.columns, BLOCK_D=width_of(D),
            num_warps=tile.warps, num_stages=tile.stages, **settings,
        )  # fmt: skip
    dx = torch.empty((count, D), dtype=batch.dtype, device=z.device)
    radial = torch.empty(count, dtype=torch.float32, device=z.device)
    block_d = triton.next_power_of_2(D)
    block_r = rows_at_once(block_d)
    length = radial if batch.length is None else batch.length
    finish_gradients[(triton.cdiv(count, block_r),)](
        z, partial, temperature, strongest, dx, length, radial, count, splits,
        SCALED=wide.is_wide(z), HAS_LENGTH=batch.length is not None, BLOCK_R=block_r, BLOCK_D=block_d, num_warps=4,
        **common,
    )  # fmt: skip
    return dx, radial
