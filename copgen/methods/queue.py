"""A queue of embeddings of past updates, oldest replaced first (MoCo, He et al. 2020): a ring buffer in a checkpoint.

It begins with random directions, which are a function of the seed. All ranks enqueue the rows of all ranks in their
order, so that their queues are equal.

Legend: Q size, D dimension, N rows to enqueue.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from copgen.runtime import philox


class Queue(nn.Module):
    """Q unit rows.

    Args:
        size: Q >= 1.
        dim: D.
        seed: of the run.

    Attributes:
        rows: (Q, D).
        position: where the next row goes, () int64; on the device, to which it would else have to be copied.
    """

    rows: Tensor
    position: Tensor

    def __init__(self, size: int, dim: int, *, seed: int) -> None:
        super().__init__()
        directions = philox.normal(seed, range(size), dim, stream="pretrain/queue").float()
        self.register_buffer("rows", F.normalize(directions, dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Replace the oldest rows by these (N, D), which have length 1; of more than Q, the last Q."""
        size = len(self.rows)
        last = torch.arange(max(0, len(rows) - size), len(rows), device=rows.device)
        places = (self.position + last) % size
        self.rows.index_copy_(0, places, rows[last].to(self.rows.dtype))
        self.position.add_(len(rows)).remainder_(size)

    def nearest(self, h: Tensor) -> Tensor:
        """For each row of h (N, D) the row of the queue with the largest inner product, (N, D); no gradient."""
        with torch.no_grad():
            return self.rows[(h.to(self.rows.dtype) @ self.rows.T).argmax(dim=1)]
