"""Linear heads on several choices of features at once: each choice is a slice of the columns, with heads of its own.

They see the same batches and do not interact, so that a grid of features and learning rates costs one pass, as in
DINOv2's linear evaluation (Oquab et al. 2023).

Legend: K images of a batch, D columns of all choices, H heads of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from copgen.evaluation.linear_heads import LinearHeads


class HeadGroups:
    """Heads of one choice after the other; the same methods as `LinearHeads`.

    Args:
        groups: the columns of each choice, and its heads.
    """

    def __init__(self, groups: Sequence[tuple[slice, LinearHeads]]) -> None:
        self.groups = tuple(groups)

    @property
    def weight(self) -> Tensor:
        """Of the first choice; all have its device and type."""
        return self.groups[0][1].weight

    def step(self, features: Tensor, labels: Tensor, *, scale: float) -> None:
        """An update of all heads from features (K, D)."""
        for columns, heads in self.groups:
            heads.step(features[:, columns], labels, scale=scale)

    def top1(self, features: Tensor, labels: Tensor) -> list[float]:
        """The accuracy of each of the H heads."""
        return [value for columns, heads in self.groups for value in heads.top1(features[:, columns], labels)]

    def head(self, number: int) -> tuple[Tensor, Tensor]:
        """Copies of weight and bias of head 0 to H - 1, for the columns of its choice."""
        for _, heads in self.groups:
            if number < heads.heads:
                return heads.head(number)
            number -= heads.heads
        raise IndexError(number)

    def state(self) -> dict[str, Tensor]:
        """Weights and momentum by name."""
        return {f"{k}.{name}": one for k, (_, heads) in enumerate(self.groups) for name, one in heads.state().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state of heads with the same shape."""
        for k, (_, heads) in enumerate(self.groups):
            start = f"{k}."
            heads.load({name.removeprefix(start): one for name, one in state.items() if name.startswith(start)})
