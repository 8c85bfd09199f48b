"""The loader of images that are tensors: it gathers the samples and augments them where they are."""

from __future__ import annotations

import torch

from copgen import views
from copgen.data.loaders.loader import Batch, labels_of, stream
from copgen.data.sampler import EpochSampler
from copgen.data.source import DecodedImages


class MemoryLoader:
    """Views of `DecodedImages`, on the device.

    Args:
        source: the images.
        sampler: of the run.
        policy: T_x.
        seed: of the run.
        count: views of each sample.
        device: where they are made.
    """

    def __init__(
        self,
        source: DecodedImages,
        sampler: EpochSampler,
        policy: views.Policy,
        *,
        seed: int,
        count: int,
        device: torch.device,
    ) -> None:
        self.source, self.sampler, self.policy = source, sampler, policy
        self.seed, self.count, self.device = seed, count, device

    def __getitem__(self, samples: range) -> Batch:
        """The batch of these samples."""
        items = self.sampler[samples]
        columns = self.source.columns(samples, self.count)
        made = []
        for view in range(self.count):
            x = self.source.batch(items, columns[:, view], self.device)
            made.append(views.augment(x, self.policy, seed=self.seed, rows=samples, stream=stream(view)))
        return Batch(tuple(made), labels_of(self.source, items, self.device))

    def close(self) -> None:
        """Nothing to end."""
