"""Generated pairs (x, x') = (G(z), G(z')) from a pairs folder; of several positives, those of a sample are random."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from copgen.pairs import PairSet, open_pairs
from copgen.pairs.pixels import from_uint8
from copgen.runtime import philox
from copgen.runtime.errors import UsageError


class GeneratedPairs:
    """The pairs of a folder, as `DecodedImages`: column 0 is the anchor, 1 to `positives` are its positives.

    Args:
        pairs: the opened folder.
        seed: of the run; selects the positives of each sample index.
    """

    def __init__(self, pairs: PairSet, *, seed: int) -> None:
        self.pairs = pairs
        self.seed = seed
        channels, height, width = pairs.plan.image_shape
        self.channels: int = channels
        self.size: tuple[int, int] | None = (height, width)
        self.labels: Tensor | None = None
        self.classes: tuple[str, ...] = ()
        self.inputs = {"pairs": pairs.plan.digest}

    def __len__(self) -> int:
        return len(self.pairs)

    def columns(self, samples: range, views: int) -> Tensor:
        """The anchor, then distinct positives at random: one of them as in GenRep, or more."""
        return positives_at_random(samples, views, self.pairs.plan.positives, seed=self.seed)

    def batch(self, items: Tensor, columns: Tensor, device: torch.device) -> Tensor:
        """Anchors (column 0) or positives of items (K,)."""
        x, x_pos = self.pairs.batch(items, which=(columns - 1).clamp(min=0))
        images = torch.where((columns == 0)[:, None, None, None], x, x_pos)
        return from_uint8(images.to(device))


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
    u = philox.uniform(seed, samples, 1, stream="pretrain/positive")
    if views == 2:
        chosen = (u * positives).long()
    else:
        order = philox.uniform(seed, samples, positives, stream="pretrain/positives").argsort(dim=1)
        chosen = order[:, : views - 1]
    return torch.cat((torch.zeros(len(samples), 1, dtype=torch.int64), 1 + chosen), dim=1)


def open_generated(folder: Path, *, seed: int) -> GeneratedPairs:
    """The pairs of a folder, verified against its records.

    Raises:
        DataError: a shard is missing, truncated or modified; the error names the file.
    """
    return GeneratedPairs(open_pairs(folder, verify="full"), seed=seed)
