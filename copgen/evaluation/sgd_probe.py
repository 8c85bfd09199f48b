"""The linear probe of the paper: SGD on frozen features, with a grid of learning rates in one pass.

The authors train one layer for 60 epochs (momentum 0.9, no weight decay, learning rate 2 x batch / 256, cosine down to
0.8 % of it, set once in an epoch) and report the best epoch on the test images. Here head and epoch are chosen on other
images than the test split, unless the caller passes the test split as those.

Legend: H heads, one for each learning rate; accuracies are Top-1 fractions in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from copgen.evaluation.head_groups import HeadGroups
from copgen.evaluation.linear_heads import LinearHeads
from copgen.evaluation.probe_state import Chosen, History, ProbeFile
from copgen.runtime.errors import Diverged
from copgen.training.schedules import Cosine

FLOOR = 0.2**3  # the last learning rate, as a fraction of the first; authors' code
Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class SgdProbe:
    """The result of training.

    Attributes:
        best: the head and epoch with the highest accuracy on the images of the choice; among equals the
            latest epoch, and the lowest rate.
        last: the same head after the last epoch.
        history: of each epoch the accuracy of each head.
    """

    best: Chosen
    last: Chosen
    history: tuple[tuple[float, ...], ...]


def train_heads(
    heads: LinearHeads | HeadGroups,
    batches: Callable[[int], Batches],
    choice: tuple[Tensor, Tensor],
    *,
    epochs: int,
    progress: Callable[[int, float], None] | None = None,
    state: ProbeFile | None = None,
) -> SgdProbe:
    """Train all heads, and choose one at its best epoch.

    Args:
        heads: untrained, with their learning rates.
        batches: the batches (features (K, D), labels (K,)) of an epoch, from 0, on the device of the heads.
        choice: features (N, D) and labels (N,) of the images that choose.
        epochs: passes over the batches.
        progress: called after each epoch with their number and the best accuracy so far.
        state: where to resume from, and to write after an epoch; None: nowhere.

    Raises:
        Diverged: no head is finite.
    """
    schedule = Cosine(1.0, epochs, final=FLOOR)
    history: History = []
    best: Chosen | None = None
    if state is not None:
        history, best = state.resume(heads)
    for epoch in range(len(history) + 1, epochs + 1):
        for features, labels in batches(epoch - 1):
            heads.step(features, labels, scale=schedule(epoch))
        history.append(tuple(heads.top1(*choice)))
        top1 = max(history[-1])
        if best is None or top1 >= best.top1:  # a later epoch has a lower rate, and less noise
            number = history[-1].index(top1)
            best = Chosen(number, epoch, top1, *heads.head(number))
        if state is not None:
            state.save(heads, history, best)
        if progress is not None:
            progress(epoch, best.top1)
    assert best is not None
    if not best.weight.isfinite().all():
        raise Diverged("Every learning rate of the probe diverged.", fix="Pass smaller ones with --lr.")
    last = Chosen(best.head, epochs, history[-1][best.head], *heads.head(best.head))
    return SgdProbe(best, last, tuple(history))


def scaled(rates: Sequence[float], batch: int) -> list[float]:
    """Learning rates for a batch from those for 256 images, by the linear rule."""
    return [rate * batch / 256 for rate in rates]
