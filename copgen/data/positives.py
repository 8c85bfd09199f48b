"""Which positives of an anchor the views of a sample show: distinct ones at random, or the only one."""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.runtime import philox
from copgen.runtime.errors import UsageError


def positives_at_random(samples: range, views: int, positives: int, *, seed: int) -> Tensor:
    """(K, V) columns: 0, then V - 1 distinct ones of 1 .. `positives`, a function of (seed, sample index).

    Raises:
        UsageError: there are fewer positives than that.
    """
    if views - 1 > positives:
        raise UsageError(
            f"{views - 1} positives of each anchor were asked for; the pairs have {positives}.",
            fix=f"Use --positives {positives}, or sample with more.",
        )
    if views == 2:
        chosen = (philox.uniform(seed, samples, 1, stream="pretrain/positive") * positives).long()
    else:
        order = philox.uniform(seed, samples, positives, stream="pretrain/positives").argsort(dim=1)
        chosen = order[:, : views - 1]
    return torch.cat((torch.zeros(len(samples), 1, dtype=torch.int64), 1 + chosen), dim=1)
