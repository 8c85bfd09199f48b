"""Which anchors and regions of an image are in the loss: random ones, up to a fraction of positives.

They are a function of the seed and of the sample index of the image, so a run does not depend on the number of ranks or
on where it was resumed; torchvision draws them from torch's global generator.
"""

from __future__ import annotations

import torch
from torch import Tensor

from copgen.runtime import philox


class CounterSampler:
    """Draws as detectron2 and torchvision do: as many positives as there are, up to the fraction, and negatives.

    Args:
        count: anchors or regions of an image.
        fraction: of positives, at most.
        seed, stream: of the random numbers.

    Attributes:
        samples: the sample indices of the images that come next.
    """

    def __init__(self, count: int, fraction: float, *, seed: int, stream: str) -> None:
        self.count, self.positives = count, int(count * fraction)
        self.seed, self.stream = seed, stream
        self.samples: range | list[int] = range(0)

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Masks of the chosen positives and negatives of each image.

        Args:
            labels: of each image, (A,): positive, 0 for negatives, or negative for those that are left out.
        """
        positives, negatives = [], []
        for sample, own in zip(self.samples, labels, strict=True):
            words = philox.bits(self.seed, [sample], len(own), stream=self.stream, device=own.device)[0]
            positive = _lowest(words, own >= 1, self.positives)
            negatives.append(_lowest(words, own == 0, self.count - int(positive.count_nonzero())))
            positives.append(positive)
        return positives, negatives


def _lowest(words: Tensor, candidates: Tensor, count: int) -> Tensor:
    """A mask of up to `count` candidates, those with the lowest words."""
    numbers = candidates.nonzero()[:, 0]
    chosen = numbers[torch.argsort(words[numbers], stable=True)[:count]]
    mask = torch.zeros_like(candidates)
    mask[chosen] = True
    return mask
