"""Heads with batch normalisation: the projectors and predictors of BYOL, NNCLR and their like.

    Linear, BatchNorm1d, ReLU, ..., Linear[, BatchNorm1d]

A linear layer that is followed by a batch norm has no bias, which the batch norm would cancel (lightly's heads). The
head without batch normalisation, of SimCLR's authors' code, is `Projector`.

Legend: N rows; widths (in, hidden, ..., out).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp(widths: Sequence[int], *, norm_last: bool = False) -> nn.Sequential:
    """Rows (N, widths[0]) -> (N, widths[-1]); ReLU after all layers but the last.

    Args:
        widths: of the input, the hidden layers and the output.
        norm_last: normalise the output, too (NNCLR's projector).
    """
    layers: list[nn.Module] = []
    *hidden, last = pairwise(widths)
    for width, wider in hidden:
        layers += [nn.Linear(width, wider, bias=False), nn.BatchNorm1d(wider), nn.ReLU(inplace=True)]
    layers.append(nn.Linear(*last, bias=not norm_last))
    if norm_last:
        layers.append(nn.BatchNorm1d(last[1]))
    return nn.Sequential(*layers)
