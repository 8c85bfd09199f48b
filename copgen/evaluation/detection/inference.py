"""Detections of whole images, in their own pixels, as detectron2 tests: one at a time, resized to one shorter side.

Legend: D detections.
"""

from __future__ import annotations

import torch
from torch import Tensor

from copgen import views
from copgen.data.detection_batches import normalised, resized, shape_for
from copgen.data.objects import Array
from copgen.evaluation.detection.config import NUMBERS
from copgen.evaluation.detection.detector import Detector

COLUMNS = 6  # of a detection: label, score, x1, y1, x2, y2


@torch.no_grad()
def detect(detector: Detector, pixels: Array, *, side: int, longest: int) -> Tensor:
    """The detections (D, 6) of an image on the CPU, by falling score: label, score, and the box in its pixels.

    Args:
        detector: in evaluation mode.
        pixels: (H, W, C) uint8.
        side, longest: the shorter side that it is resized to, and the longer one at most, pixels.
    """
    device = next(detector.parameters()).device
    height, width = pixels.shape[:2]
    shape = shape_for((height, width), side=side, longest=longest)
    policy, divisor = views.policy(detector.config.encoder.views), NUMBERS[detector.config.backbone].divisor
    image = normalised(resized(pixels, shape).to(device), policy)
    padded = [-(-length // divisor) * divisor for length in shape]
    x = image.new_zeros(1, image.shape[0], *padded)
    x[0, :, : shape[0], : shape[1]] = image
    found = detector(x, [shape])
    assert isinstance(found, list)
    (one,) = found
    corners = torch.tensor([width, height] * 2, device=device)
    scale = corners / torch.tensor([shape[1], shape[0]] * 2, device=device)
    boxes = (one["boxes"] * scale).clamp(min=0).minimum(corners)
    whole = torch.cat((one["labels"][:, None].float(), one["scores"][:, None], boxes), dim=1)
    return whole[(boxes[:, 2:] > boxes[:, :2]).all(dim=1)].cpu()
