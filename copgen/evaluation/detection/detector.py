"""Faster R-CNN (Ren et al. 2015) on an encoder: torchvision's parts with the numbers of the authors' configuration.

Legend: N images, x (N, C, H, W) normalised and padded images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from copgen.distributed.ranks import Ranks
from copgen.encoders.resnet import ResNet
from copgen.evaluation.detection.anchors import FixedAnchors
from copgen.evaluation.detection.backbone import PYRAMID, Pyramid, Stages, stride_of, width_of
from copgen.evaluation.detection.config import NUMBERS, RATIOS, DetectorConfig
from copgen.evaluation.detection.pooling import AlignedPooler
from copgen.evaluation.detection.proposals import FRACTION as OF_ANCHORS
from copgen.evaluation.detection.proposals import Proposals
from copgen.evaluation.detection.regions import FRACTION as OF_REGIONS
from copgen.evaluation.detection.regions import LastStage, Losses, Regions, connected
from copgen.evaluation.detection.sampling import CounterSampler
from copgen.runtime.errors import DataError, UsageError
from copgen.storage.tensors import load_into, load_tensors, save_tensors

FILE_NAME = "detector.safetensors"
KIND = "detector"
Sizes = list[tuple[int, int]]
Targets = list[dict[str, Tensor]]


class Detector(nn.Module):
    """x -> detections, or the losses in training.

    Args:
        network: the encoder's; its weights are where training starts. New layers are drawn from torch's generator.
        config: its shape.
        seed: of the sampled anchors and regions.
        ranks: the processes that share a batch.
    """

    def __init__(self, network: ResNet, config: DetectorConfig, *, seed: int = 0, ranks: Ranks | None = None) -> None:
        super().__init__()
        self.config = config
        numbers = NUMBERS[config.backbone]
        stages, ranks = network.stages, ranks or Ranks()
        of_anchors = CounterSampler(config.anchors_per_image, OF_ANCHORS, seed=seed, stream="detect/anchors")
        of_regions = CounterSampler(config.regions_per_image, OF_REGIONS, seed=seed, stream="detect/regions")
        self.samplers = of_anchors, of_regions
        if config.backbone == "c4":
            last, strides = stages - 1, [stride_of(network, stages - 1)]
            self.backbone: nn.Module = Stages(network, last=last, first=last)
            names, pooled, width = [str(last)], strides, width_of(network, last)
            sizes: list[tuple[float, ...]] = [config.anchors]
            head: nn.Module = LastStage(network)
            vector = network.feature_dim
        else:
            pooled = [stride_of(network, stage) for stage in range(1, stages + 1)]
            strides = [*pooled, 2 * pooled[-1]]
            _check_levels(config.anchors, len(strides))
            self.backbone = Pyramid(network)
            names, width = [str(stage) for stage in range(1, stages + 1)], PYRAMID
            sizes = [(size,) for size in config.anchors]
            head = connected(PYRAMID, numbers.pooled)
            vector = 1024
        self.rpn = Proposals(FixedAnchors(sizes, RATIOS, strides), width, numbers, of_anchors)
        pooler = AlignedPooler(names, pooled, side=numbers.pooled)
        self.roi_heads = Regions(pooler, head, vector, len(config.classes), of_regions, ranks)

    def forward(
        self, x: Tensor, sizes: Sizes, targets: Targets | None = None, samples: Sequence[int] = ()
    ) -> list[dict[str, Tensor]] | Losses:
        """Detections of each image: `boxes` (D, 4), `scores` (D,), `labels` (D,); with targets the four losses.

        Args:
            x: the images, in the corner of their padding.
            sizes: height and width of each image without padding, pixels.
            targets: `boxes` (G, 4) and `labels` (G,), from 0, of each image.
            samples: the sample indices of the images, with targets.
        """
        features = self.backbone(x)
        if targets is None:
            proposals, _ = self.rpn(ImageList(x, sizes), features)
            found: list[dict[str, Tensor]] = self.roi_heads(features, proposals, sizes)[0]
            return found
        for sampler in self.samplers:
            sampler.samples = list(samples)
        numbered = [{"boxes": one["boxes"], "labels": one["labels"] + 1} for one in targets]  # 0: background
        proposals, of_proposals = self.rpn(ImageList(x, sizes), features, numbered)
        losses: Losses = self.roi_heads(features, proposals, sizes, numbered)[1]
        return {
            "loss_objectness": of_proposals["loss_objectness"],
            "loss_proposal": of_proposals["loss_rpn_box_reg"],
            **losses,
        }


def _check_levels(anchors: Sequence[float], levels: int) -> None:
    if len(anchors) != levels:
        raise UsageError(
            f"anchors has {len(anchors)} sizes, and the pyramid of this encoder {levels} levels.",
            fix=f"Give {levels} sizes in pixels, from the smallest.",
        )


def save_detector(path: Path, detector: Detector, made_by: dict[str, Any]) -> None:
    """Write a detector atomically."""
    header = {"config": detector.config.model_dump(mode="json"), "made_by": made_by}
    save_tensors(path, detector.state_dict(), kind=KIND, header=header)


def load_detector(path: Path) -> Detector:
    """A detector on the CPU, in evaluation mode.

    Raises:
        DataError: missing, damaged, or of another kind or shape.
    """
    tensors, header = load_tensors(path, kind=KIND)
    try:
        config = DetectorConfig.model_validate(header.get("config"))
        with torch.random.fork_rng(devices=[]):
            detector = Detector(config.encoder.build(), config)
    except (ValidationError, UsageError) as error:
        raise DataError(f"{path}: the header does not describe a detector ({error}).") from None
    load_into(detector, tensors, path=path)
    return detector.eval()
