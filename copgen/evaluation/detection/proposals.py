"""The region proposal network, torchvision's, with the losses of detectron2.

L1 instead of smooth L1, and both losses are divided by 256 anchors per image, however many could be sampled.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from copgen.evaluation.detection.anchors import FixedAnchors
from copgen.evaluation.detection.config import Numbers
from copgen.evaluation.detection.sampling import CounterSampler

POSITIVE, NEGATIVE, FRACTION, NMS = 0.7, 0.3, 0.5, 0.7  # IoUs; the fraction of positives; the IoU of NMS


class Proposals(RegionProposalNetwork):  # type: ignore[misc]
    """Proposals of objects, and the losses of objectness and boxes.

    Args:
        anchors: of the feature maps.
        width: their channels.
        numbers: of the backbone.
        sampler: of anchors.
    """

    def __init__(self, anchors: FixedAnchors, width: int, numbers: Numbers, sampler: CounterSampler) -> None:
        (each,) = set(anchors.num_anchors_per_location())
        super().__init__(
            anchors,
            RPNHead(width, each),
            POSITIVE,
            NEGATIVE,
            sampler.count,
            FRACTION,
            dict(zip(("training", "testing"), numbers.before_nms, strict=True)),
            dict(zip(("training", "testing"), numbers.after_nms, strict=True)),
            NMS,
        )
        self.fg_bg_sampler = sampler

    def compute_loss(
        self, objectness: Tensor, deltas: Tensor, labels: list[Tensor], targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The losses of objectness and of the boxes; anchors of all images one after the other."""
        chosen = [torch.cat(masks) for masks in self.fg_bg_sampler(labels)]
        positive, either = chosen[0], chosen[0] | chosen[1]
        anchors = self.fg_bg_sampler.count * len(labels)
        found, wanted = objectness.flatten()[either], torch.cat(labels)[either]
        return (
            F.binary_cross_entropy_with_logits(found, wanted, reduction="sum") / anchors,
            F.l1_loss(deltas[positive], torch.cat(targets)[positive], reduction="sum") / anchors,
        )
