"""The trials of `copgen eval finetune`, one after the other, and what is known after some of them.

There is a trial for each number of labels, draw and learning rate, in this order. Each starts from the pretrained
encoder. The best epoch of the best rate of a draw, on validation images, is tested once.

Legend: n labelled images of a trial, K batch size.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from torch import Tensor

from copgen.training.schedules import Cosine

LARGEST, SMALLEST, SHARE = 256, 16, 8  # batch size: an eighth of the labels, within these
EPOCHS, EPOCHS_OF_MANY, MANY = 60, 30, 0.1  # SimCLR, appendix B.5


@dataclass(frozen=True)
class Trial:
    """A fine-tuning.

    Attributes:
        name: of the number of labels, such as '1%' or '5'.
        draw: of the labels.
        rate: learning rate for 256 images.
        first, last: whether it is the first or last of its draw.
        images: n.
        batch: K.
        updates: of this trial.
    """

    name: str
    draw: int
    rate: float
    first: bool
    last: bool
    images: int
    batch: int
    updates: int

    def lr(self, update: int) -> float:
        """The learning rate of an update of this trial, from 0: a cosine down to 0."""
        return Cosine(self.rate * self.batch / 256, self.updates)(update)

    def epoch(self, update: int) -> int | None:
        """The number of the epoch, from 1, that ends with an update of this trial; None if none does."""
        done = (update + 1) * self.batch // self.images
        return done if done > update * self.batch // self.images else None


class Plan:
    """All trials.

    Args:
        images: n, by name of the number of labels.
        draws: of each.
        rates: of each draw.
        total: labelled images of the training split.
        epochs: of each trial; None: by the share of labels.
        batch: K; None: by the number of labels.
    """

    def __init__(
        self,
        images: dict[str, int],
        *,
        draws: int,
        rates: Sequence[float],
        total: int,
        epochs: int | None,
        batch: int | None,
    ) -> None:
        self.trials: list[Trial] = []
        for name, n in images.items():
            K = min(n, batch or min(LARGEST, max(SMALLEST, n // SHARE)))
            passes = epochs or (EPOCHS if n < MANY * total else EPOCHS_OF_MANY)
            updates = math.ceil(passes * n / K)
            self.trials += [
                Trial(name, draw, rate, rate == rates[0], rate == rates[-1], n, K, updates)
                for draw in range(draws)
                for rate in rates
            ]
        self._ends = list(accumulate(trial.updates for trial in self.trials))

    @property
    def updates(self) -> int:
        """Of all trials."""
        return self._ends[-1]

    def at(self, update: int) -> tuple[Trial, int]:
        """The trial of an update, and the number of the update in it."""
        number = bisect_right(self._ends, update)
        return self.trials[number], update - (self._ends[number] - self.trials[number].updates)

    def lr(self, update: int) -> float:
        """The learning rate of an update."""
        trial, own = self.at(update)
        return trial.lr(own)


class Found:
    """What is known so far; part of the checkpoint.

    Attributes:
        history: validation Top-1 after each epoch of the current trial.
        of_draw: the histories of the current draw, by rate.
        best: of the current draw: Top-1, rate and epoch; None before the first epoch.
        weights: of the classifier then.
        draws: the results of the finished draws, by name of the number of labels.
        diverged: whether the current trial has.
    """

    def __init__(self) -> None:
        self.history: list[float] = []
        self.of_draw: dict[str, list[float]] = {}
        self.best: dict[str, float] | None = None
        self.weights: dict[str, Tensor] = {}
        self.draws: dict[str, list[dict[str, Any]]] = {}
        self.diverged = False

    def begin(self, trial: Trial) -> None:
        """A trial begins."""
        self.history, self.diverged = [], False
        if trial.first:
            self.of_draw, self.best, self.weights = {}, None, {}

    def better(self, trial: Trial, top1: float) -> bool:
        """Whether an accuracy is the best of the draw; of equals, the lower rate, and its later epoch."""
        if self.best is None or top1 > self.best["top1"]:
            return True
        return top1 == self.best["top1"] and trial.rate == self.best["rate"]

    def state_dict(self) -> dict[str, Any]:
        """The tree of all of it."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Take over a state."""
        vars(self).update(state)
