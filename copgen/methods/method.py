"""What every method of pretraining is: a module that turns two views of a batch into losses.

losses = method(v, v_pos)      # the forward pass, and what is to be minimised
training.step(losses)
method.after_step(update)      # BYOL moves its target, NNCLR its queue; SimCLR has nothing to move
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from copgen.encoders import ResNet


class Method(nn.Module):
    """Heads, memory and loss around a backbone; a method defines `backbone`, `parts` and `forward`."""

    @property
    def backbone(self) -> ResNet:
        """The encoder that is kept, without heads."""
        raise NotImplementedError

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """What a checkpoint holds of it, by name; "encoder" is the backbone with its projector."""
        raise NotImplementedError

    def forward(self, v: Tensor, v_pos: Tensor) -> dict[str, Tensor]:
        """The losses of views (K, C, H, W), scalars by name."""
        raise NotImplementedError

    def chance(self, K: int) -> dict[str, float]:
        """What is logged beside the losses of K pairs: their value for embeddings that say nothing, where it is known.

        Args:
            K: pairs in a batch.
        """
        return {}

    def after_step(self, update: int) -> None:
        """What follows the optimizer's step of an update, from 0; nothing unless a method says so."""
