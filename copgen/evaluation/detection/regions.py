"""Classes and boxes of the proposed regions: torchvision's RoI heads, with the losses of detectron2.

C4: RoIAlign 14 x 14, the last stage of the network, a batch norm (MoCo), and the mean over positions. FPN: RoIAlign
7 x 7 and two fully connected layers.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads

from copgen.distributed.ranks import Ranks
from copgen.encoders.resnet import ResNet
from copgen.evaluation.detection.config import DETECTIONS
from copgen.evaluation.detection.pooling import AlignedPooler
from copgen.evaluation.detection.sampling import CounterSampler

IOU, FRACTION = 0.5, 0.25  # of a positive region; the fraction of positives
SCALES = (10.0, 10.0, 5.0, 5.0)  # of the targets of a box
SCORE, NMS = 0.05, 0.5  # lowest score of a detection; the IoU of NMS
HIDDEN = 1024
Losses = dict[str, Tensor]


class Regions(RoIHeads):  # type: ignore[misc]
    """Detections, or their losses.

    Args:
        pooler: of the features of regions.
        head: from these to vectors.
        width: of the vectors.
        classes: C.
        sampler: of regions.
        ranks: the losses are means over the regions of all of them.
    """

    def __init__(
        self, pooler: AlignedPooler, head: nn.Module, width: int, classes: int, sampler: CounterSampler, ranks: Ranks
    ) -> None:
        predictor = FastRCNNPredictor(width, classes + 1)  # class 0 is the background
        nn.init.normal_(predictor.cls_score.weight, std=0.01)
        nn.init.normal_(predictor.bbox_pred.weight, std=0.001)
        nn.init.zeros_(predictor.cls_score.bias)
        nn.init.zeros_(predictor.bbox_pred.bias)
        super().__init__(pooler, head, predictor, IOU, IOU, sampler.count, FRACTION, SCALES, SCORE, NMS, DETECTIONS)
        self.fg_bg_sampler = sampler
        self.ranks = ranks

    def forward(
        self, features: Any, proposals: list[Tensor], sizes: list[tuple[int, int]], targets: Any = None
    ) -> tuple[list[dict[str, Tensor]], Losses]:
        """Detections of each image, and no losses; or, with targets, no detections and the losses."""
        if targets is None:
            scores, deltas = self._predicted(features, proposals)
            found = zip(*self.postprocess_detections(scores, deltas, proposals, sizes), strict=True)
            return [{"boxes": box, "scores": score, "labels": label - 1} for box, score, label in found], {}
        with torch.no_grad():
            chosen, _, labels, wanted = self.select_training_samples(proposals, targets)
        scores, deltas = self._predicted(features, chosen)
        return [], self._losses(scores, deltas, torch.cat(labels), torch.cat(wanted))

    def _predicted(self, features: Any, regions: list[Tensor]) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.box_predictor(self.box_head(self.box_roi_pool(features, regions)))
        return found

    def _losses(self, scores: Tensor, deltas: Tensor, labels: Tensor, wanted: Tensor) -> Losses:
        """Cross-entropy and the L1 loss of the boxes of the true classes, means over all regions."""
        regions = self.ranks.mean(torch.tensor(float(len(labels)), device=labels.device)).clamp(min=1.0)
        positive = (labels > 0).nonzero()[:, 0]
        own = deltas.view(len(deltas), -1, 4)[positive, labels[positive]]
        return {
            "loss_class": F.cross_entropy(scores, labels, reduction="sum") / regions,
            "loss_box": F.l1_loss(own, wanted[positive], reduction="sum") / regions,
        }


class LastStage(nn.Module):
    """Features (R, D, 14, 14) of regions -> (R, F): the last stage of a network, a batch norm, the mean."""

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.stage = network.get_submodule(f"layer{network.stages}")
        self.norm = nn.BatchNorm2d(network.feature_dim)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(self.stage(x)).mean(dim=(2, 3))
        return found


def connected(width: int, side: int) -> nn.Module:
    """The two fully connected layers of FPN."""
    layers: nn.Module = TwoMLPHead(width * side**2, HIDDEN)
    for layer in layers.children():
        assert isinstance(layer, nn.Linear)
        nn.init.kaiming_uniform_(layer.weight, a=1)
        nn.init.zeros_(layer.bias)
    return layers
