"""The trained branch f of a method: a backbone and the heads after it, with the outputs of the heads by name.

Legend: N views, v (N, C, S, S); D output dimension of a head.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from copgen.encoders import ResNet

Outputs = dict[str, Tensor]
HEADS = ("projection", "prediction")


class Branch(nn.Sequential):
    """v -> {"projection": projector(backbone(v)), "prediction": predictor(projection)}, (N, D) each, not normalised.

    Args:
        backbone: the encoder.
        projector: the head after it.
        predictor: the head after the projector, if the method has one.
    """

    def __init__(self, backbone: ResNet, projector: nn.Module, predictor: nn.Module | None = None) -> None:
        super().__init__(backbone, projector, *(() if predictor is None else (predictor,)))

    @property
    def backbone(self) -> ResNet:
        """The encoder without heads."""
        return cast("ResNet", self[0])

    @property
    def projector(self) -> nn.Module:
        """The head after the encoder."""
        return self[1]

    def forward(self, v: Tensor) -> Outputs:
        """The outputs of all heads."""
        backbone, *heads = self
        y = backbone(v)
        outputs: Outputs = {}
        for name, head in zip(HEADS, heads, strict=False):
            y = outputs[name] = head(y)
        return outputs
