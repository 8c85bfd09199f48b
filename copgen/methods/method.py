"""The interface of a pretraining method: a module that computes losses from two views of a batch.

losses = method(v, v_pos)      # the forward pass; losses to minimise
training.step(losses)
method.after_step(update)      # BYOL updates its target network, NNCLR its queue; SimCLR does nothing
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from copgen.encoders import ResNet


class Method(nn.Module):
    """Heads, memory and loss around a backbone; a method defines `backbone`, `parts` and `forward`."""

    @property
    def backbone(self) -> ResNet:
        """The encoder to save, without heads."""
        raise NotImplementedError

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The modules to checkpoint, by name; "encoder" is the backbone with its projector."""
        raise NotImplementedError

    def forward(self, v: Tensor, v_pos: Tensor) -> dict[str, Tensor]:
        """The losses of views (K, C, H, W), scalars by name."""
        raise NotImplementedError

    def chance(self, K: int) -> dict[str, float]:
        """Constants to log with the losses of K pairs: their chance level, if known.

        Args:
            K: pairs in a batch.
        """
        return {}

    def after_step(self, update: int) -> None:
        """Called after the optimizer step of an update, from 0; does nothing by default."""
