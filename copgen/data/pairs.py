"""Opens generated pairs (x, x') = (G(z), G(z')): decoded into memory if they are few, else as files (pairs_folder.py).

Of several positives of an anchor, those of a sample are random.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from copgen.data.pair_classes import classes_of
from copgen.data.pairs_folder import PairsFolder
from copgen.data.positives import positives_at_random
from copgen.pairs import PairSet, open_pairs
from copgen.pairs.pixels import from_uint8
from copgen.pairs.verification import load_plan

MOST_IMAGES, MOST_BYTES = 100_000, 256 * 2**20  # in memory; decoding them takes seconds


class GeneratedPairs:
    """The pairs of a folder, decoded into memory: column 0 is the anchor, 1 to `positives` are its positives.

    Args:
        pairs: the opened folder.
        seed: of the run; selects the positives of each sample index.
        labelled: read the class of every pair from its metadata.
    """

    def __init__(self, pairs: PairSet, *, seed: int, labelled: bool = False) -> None:
        self.pairs = pairs
        self.seed = seed
        channels, height, width = pairs.plan.image_shape
        self.channels: int = channels
        self.size: tuple[int, int] | None = (height, width)
        self.labels: Tensor | None = None
        self.classes: tuple[str, ...] = ()
        self.inputs = {"pairs": pairs.plan.digest}
        if labelled:
            self.labels, self.classes = classes_of(pairs.folder, pairs.plan)

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


def open_generated(folder: Path, *, seed: int, labelled: bool = False) -> GeneratedPairs | PairsFolder:
    """The pairs of a folder: decoded into memory and verified now if they are few, else read and verified as needed.

    Args:
        folder: the pairs folder.
        seed: of the run; selects the positives.
        labelled: read the class of every pair.

    Raises:
        DataError: a shard is missing, truncated or modified; the error names the file.
    """
    plan = load_plan(folder)
    images = plan.pairs * (1 + plan.positives)
    if images > MOST_IMAGES or images * math.prod(plan.image_shape) > MOST_BYTES:
        return PairsFolder(folder, seed=seed, labelled=labelled)
    return GeneratedPairs(open_pairs(folder, verify="full"), seed=seed, labelled=labelled)
