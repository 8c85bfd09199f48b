"""What an experiment is about: a generator, its data set, and the classifier of real images that judges positives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from copgen.evaluation.digits_classifier import DigitsClassifier

JUDGED = 2000  # pairs whose labels are compared

Labels = Callable[["Setting", "Tensor"], Any]


@dataclass(frozen=True)
class Setting:
    """A generator and its data set.

    Attributes:
        name: of its runs and results.
        dataset: real images, for pretraining and probes.
        recipe: the built-in settings of every stage, over which the next ones lie.
        generator: settings of the generator, for navigate and sample.
        pairs: pairs sampled for each encoder.
        linear: settings of the probes.
        variant: another way to train encoders on the same pairs, for the names of runs and results; may be empty.
        labels: the setting, images (N, C, H, W) in [-1, 1] -> their labels (N,) under a classifier of real images.
    """

    name: str
    dataset: str
    recipe: str
    pairs: int
    labels: Labels
    generator: Mapping[str, Any] = field(default_factory=dict)
    navigate: Mapping[str, Any] = field(default_factory=dict)
    pretrain: Mapping[str, Any] = field(default_factory=dict)
    linear: Mapping[str, Any] = field(default_factory=dict)
    variant: str = ""

    @property
    def runs(self) -> Path:
        """The folder of its runs."""
        return Path("runs") / f"experiment-{self.name}"

    @property
    def results(self) -> str:
        """The name of its results."""
        return self.of_variant(self.name)

    def of_variant(self, name: str) -> str:
        """The name of what the variant has for itself."""
        return f"{name}-{self.variant}" if self.variant else name

    def kept_share(self, pairs: Path) -> float:
        """The share of positives that the classifier of real images assigns to their anchor's label."""
        from copgen.pairs import from_uint8, open_pairs

        anchors, positives = open_pairs(pairs, verify="quick").batch(range(JUDGED))
        same = self.labels(self, from_uint8(anchors)) == self.labels(self, from_uint8(positives))
        return float(same.mean())


def digits_labels(setting: Setting, images: Tensor) -> Any:
    """Labels (N,) of 8x8 digits."""
    return _digits_classifier().labels(images)


@cache
def _digits_classifier() -> DigitsClassifier:
    """The classifier of real digits, fitted once per process."""
    from copgen.evaluation.digits_classifier import fit_digits_classifier

    return fit_digits_classifier()


DIGITS = Setting("digits", dataset="digits", recipe="digits", pairs=10_000, labels=digits_labels)
