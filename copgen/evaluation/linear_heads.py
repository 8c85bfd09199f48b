"""Linear classifiers on the same features, trained at once with SGD, each with its own learning rate.

The heads see the same batches, start from zero and do not interact, so each becomes what it becomes alone, and a grid
of H learning rates costs one pass over the features: the idea of DINOv2's linear evaluation (Oquab et al. 2023).

Legend: K images of a batch, D feature dimension, H heads, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from copgen.training.optimizers import MOMENTUM

ROWS = 4096  # images that are classified at a time


class LinearHeads:
    """H linear layers, D -> C, and their momentum.

    Args:
        dim: D.
        classes: C.
        rates: the learning rate of each head, H.
        device: where they are trained.
        dtype: of weights and features.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        rates: Sequence[float],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.classes, self.heads = classes, len(rates)
        # The heads are beside each other, (D, H * C), so that one product serves all of them.
        self.weight = torch.zeros(dim, self.heads * classes, device=device, dtype=dtype)
        self.bias = torch.zeros(self.heads * classes, device=device, dtype=dtype)
        self.momentum = [torch.zeros_like(self.weight), torch.zeros_like(self.bias)]
        self._rates = torch.tensor(rates, device=device, dtype=dtype).repeat_interleave(classes)

    def step(self, features: Tensor, labels: Tensor, *, scale: float) -> None:
        """An update of all heads: the mean cross-entropy of the batch, SGD with momentum 0.9, no weight decay.

        Args:
            features: (K, D).
            labels: (K,) int64.
            scale: factor of the learning rates, from the schedule.
        """
        gradient = self.logits(features).softmax(dim=2)
        gradient[torch.arange(len(labels), device=labels.device), :, labels] -= 1.0
        gradient = (gradient / len(labels)).flatten(1)
        weight, bias = self.momentum
        torch.addmm(weight, features.T, gradient, beta=MOMENTUM, out=weight)
        bias.mul_(MOMENTUM).add_(gradient.sum(dim=0))
        for value, momentum in ((self.weight, weight), (self.bias, bias)):
            value.addcmul_(self._rates, momentum, value=-scale)

    def logits(self, features: Tensor) -> Tensor:
        """(K, H, C) of features (K, D)."""
        return torch.addmm(self.bias, features, self.weight).view(len(features), self.heads, self.classes)

    def head(self, number: int) -> tuple[Tensor, Tensor]:
        """Copies of the weight (D, C) and the bias (C,) of a head."""
        columns = slice(number * self.classes, (number + 1) * self.classes)
        return self.weight[:, columns].clone(), self.bias[columns].clone()

    def state(self) -> dict[str, Tensor]:
        """Weights and momentum by name."""
        return {
            "weight": self.weight,
            "bias": self.bias,
            "momentum.weight": self.momentum[0],
            "momentum.bias": self.momentum[1],
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state of heads with the same shape."""
        for name, value in self.state().items():
            value.copy_(state[name])

    def top1(self, features: Tensor, labels: Tensor) -> list[float]:
        """The accuracy of each head on features (N, D), which may be elsewhere; 0 for one that has diverged."""
        right = torch.zeros(self.heads, dtype=torch.int64, device=self.weight.device)
        finite = torch.ones(self.heads, dtype=torch.bool, device=self.weight.device)
        for some, wanted in _parts(features, labels, self.weight):
            logits = self.logits(some)
            finite &= logits.isfinite().flatten(2).all(dim=2).all(dim=0)
            right += (logits.argmax(dim=2) == wanted[:, None]).sum(dim=0)
        accuracies: list[float] = (right.double() / len(labels)).where(finite, right.new_zeros(()).double()).tolist()
        return accuracies


def ranked_by(weight: Tensor, bias: Tensor, features: Tensor, *, most: int = 5) -> Tensor:
    """The most likely classes of each image under a head, (N, min(most, C)) int64 on the CPU, from the likeliest on."""
    found = [
        torch.addmm(bias, part.to(weight), weight).topk(min(most, weight.shape[1]), dim=1).indices.cpu()
        for part in torch.split(features, ROWS)
    ]
    return torch.cat(found)


def _parts(features: Tensor, labels: Tensor, like: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    pairs: Iterable[tuple[Tensor, Tensor]] = zip(torch.split(features, ROWS), torch.split(labels, ROWS), strict=True)
    for some, wanted in pairs:
        yield some.to(like), wanted.to(like.device)
