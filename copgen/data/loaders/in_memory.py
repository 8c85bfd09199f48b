"""The loader of images that are tensors: it gathers the samples and augments them where they are."""

from __future__ import annotations

from copgen import views
from copgen.data.loaders.loader import Batch, LoaderConfig, labels_of, stream
from copgen.data.source import DecodedImages


class MemoryLoader:
    """Views of `DecodedImages`, on the device; without workers, and nothing is skipped."""

    def __init__(self, config: LoaderConfig[DecodedImages]) -> None:
        self.config = config

    def __getitem__(self, samples: range) -> Batch:
        """The batch of these samples."""
        of = self.config
        items, columns = of.sampler[samples], of.source.columns(samples, of.count)
        made = []
        for view in range(of.count):
            x = of.source.batch(items, columns[:, view], of.device)
            made.append(views.augment(x, of.policy, seed=of.seed, rows=samples, stream=stream(view)))
        return Batch(tuple(made), labels_of(of.source, items, of.device))

    def close(self) -> None:
        """Nothing to end."""
