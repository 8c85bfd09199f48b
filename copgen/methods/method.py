"""The interface of a pretraining method: what it trains, and the loss of its outputs.

outputs = method.f(v)                          # for each view, or for all in one batch; with gradient
frozen = method.frozen(views)                  # without: the target network of BYOL
losses = method.loss(outputs, frozen, labels)  # to minimise
training.step(losses)
method.after_step(update)                      # BYOL updates its target network, NNCLR its queue; SimCLR does nothing

The stage puts autocast, DistributedDataParallel and cached gradients around f; `forward` is the method without them.

Legend: K samples of a rank, V views of each; D output dimension of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from copgen.encoders import ResNet
from copgen.methods.branch import Branch, Outputs

Views = Sequence[Tensor]


class Method(nn.Module):
    """A trained branch f, memory, and a loss; a method defines `f` and `loss`.

    Attributes:
        f: the trained branch; the optimizer has its parameters and no others.
        together: all views pass f in one batch, with joint batch statistics; otherwise one view at a time.
        trained_views: how many of the views pass f, the anchors' first; None: all of them.
    """

    f: Branch
    together = True
    trained_views: int | None = None

    @property
    def backbone(self) -> ResNet:
        """The encoder to save, without heads."""
        return self.f.backbone

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The modules to checkpoint, by name; "encoder" is f."""
        return {"encoder": self.f}

    def check(self, *, labelled: bool) -> None:
        """Check that the method can learn from data with or without classes; all do by default.

        Raises:
            UsageError: it cannot.
        """

    def frozen(self, views: Views) -> tuple[Outputs, ...]:
        """Outputs without gradient for each view (K, C, S, S); none by default."""
        return tuple({} for _ in views)

    def loss(self, outputs: Sequence[Outputs], frozen: Sequence[Outputs], labels: Tensor | None) -> dict[str, Tensor]:
        """The losses, scalars by name, of this rank's samples among those of all ranks; their sum is minimised.

        A single one is called "loss"; the sum of several is logged under that name.

        Args:
            outputs: of f, for each view that passes it, (K, D) each.
            frozen: of `frozen`, for each view.
            labels: the class of each sample, (K,); None if unknown.
        """
        raise NotImplementedError

    def forward(self, *views: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """The losses of V views (K, C, S, S)."""
        outputs = pass_views(self.f, views[: self.trained_views], together=self.together)
        return self.loss(outputs, self.frozen(views), labels)

    def chance(self, K: int) -> dict[str, float]:
        """Constants to log with the losses of K samples over all ranks: their chance level, if known."""
        return {}

    def metrics(self) -> dict[str, Tensor]:
        """Further scalars of the last `loss` to log, the same on all ranks; none by default."""
        return {}

    def after_step(self, update: int) -> None:
        """Called after the optimizer step of an update, from 0; does nothing by default."""


def pass_views(f: Callable[[Tensor], Outputs], views: Views, *, together: bool) -> tuple[Outputs, ...]:
    """The outputs of f for each view (K, C, S, S): all in one batch, or one view at a time."""
    if not together:
        return tuple(f(v) for v in views)
    outputs = f(torch.cat(tuple(views)))
    chunks = {name: rows.chunk(len(views)) for name, rows in outputs.items()}
    return tuple({name: rows[j] for name, rows in chunks.items()} for j in range(len(views)))
