"""Generated pairs (x, x') = (G(z), G(z')) from a pairs folder; one of several positives at random (as in GenRep)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from copgen.pairs import PairSet, open_pairs
from copgen.pairs.pixels import from_uint8
from copgen.runtime import philox


class GeneratedPairs:
    """The pairs of a folder as float images in [-1, 1].

    Args:
        pairs: the opened folder.
        seed: of the run; selects the positive of each sample index.
    """

    def __init__(self, pairs: PairSet, *, seed: int) -> None:
        self.pairs = pairs
        self.seed = seed
        self.image_shape: tuple[int, int, int] = pairs.plan.image_shape
        self.inputs = {"pairs": pairs.plan.digest}

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, items: Tensor, samples: range) -> tuple[Tensor, Tensor]:
        """x and x' (K, C, H, W) of items (K,) at these sample indices of the run."""
        u = philox.uniform(self.seed, samples, 1, stream="pretrain/positive")[:, 0]
        x, x_pos = self.pairs.batch(items, which=(u * self.pairs.plan.positives).long())
        return from_uint8(x), from_uint8(x_pos)


def open_generated(folder: Path, *, seed: int) -> GeneratedPairs:
    """The pairs of a folder, verified against its records.

    Raises:
        DataError: a shard is missing, truncated or modified; the error names the file.
    """
    return GeneratedPairs(open_pairs(folder, verify="full"), seed=seed)
