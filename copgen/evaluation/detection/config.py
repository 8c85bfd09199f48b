"""What a detector is built from, and the numbers of detectron2's configurations that it has.

Source: `Base-RCNN-C4.yaml` and `Base-RCNN-FPN.yaml` of detectron2, its defaults, and `Base-RCNN-C4-BN.yaml` of MoCo, on
which the authors' `pascal_voc_R_50_C4_transfer.yaml` is based: nothing is frozen, batch norms are synchronised, and one
follows the last stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from copgen.encoders.encoder import EncoderConfig

Backbone = Literal["c4", "fpn"]
SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)  # of anchors, square roots of their areas
RATIOS = (0.5, 1.0, 2.0)  # height / width of anchors
DETECTIONS = 100  # of an image, at most


@dataclass(frozen=True)
class Numbers:
    """Of one backbone, in training and at test.

    Attributes:
        before_nms: proposals of an image (of a level of FPN) with the highest scores, of which NMS keeps some.
        after_nms: proposals of an image that are kept after NMS.
        pooled: side of the features of a region.
        divisor: sides of the batch of images are multiples of it.
    """

    before_nms: tuple[int, int]
    after_nms: tuple[int, int]
    pooled: int
    divisor: int


NUMBERS: dict[Backbone, Numbers] = {
    "c4": Numbers(before_nms=(12_000, 6_000), after_nms=(2_000, 1_000), pooled=14, divisor=1),
    "fpn": Numbers(before_nms=(2_000, 1_000), after_nms=(1_000, 1_000), pooled=7, divisor=32),
}


class DetectorConfig(BaseModel):
    """What is needed to rebuild a detector."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderConfig = Field(description="the network that it is made from, and its normalisation")
    backbone: Backbone = Field(description="c4: all stages but the last, or fpn: a pyramid of all stages")
    classes: tuple[str, ...] = Field(min_length=1, description="names, in the order of the labels")
    anchors: tuple[float, ...] = Field(min_length=1, description="sizes of the anchors, pixels; fpn: of each level")
    anchors_per_image: int = Field(default=256, ge=1, description="anchors of an image in the loss of the proposals")
    regions_per_image: int = Field(default=512, ge=1, description="regions of an image in the loss of the detections")
