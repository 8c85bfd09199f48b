"""COCO's average precision by faster-coco-eval: 101 recalls, IoU thresholds .50 to .95, up to 100 detections an image.

Difficult objects are COCO's crowds: a detection of one does not count. Its overlap with it is the part of the detection
that lies in it, as COCO defines it for crowds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from copgen.data.objects import Array, Objects
from copgen.evaluation.detection.boxes import AveragePrecision, Detections
from copgen.runtime.errors import EnvironmentFault

MOST = 100  # detections of an image


def need_faster_coco_eval() -> Any:
    """The package.

    Raises:
        EnvironmentFault: it cannot be imported.
    """
    try:
        import faster_coco_eval
    except ImportError as error:
        raise EnvironmentFault(
            f"COCO's average precision needs faster-coco-eval, which cannot be imported: {error}.",
            fix="Install it: pip install 'copgen[eval]'.",
        ) from None
    return faster_coco_eval


def coco_ap(objects: Objects, detections: Detections, *, classes: int, images: int) -> AveragePrecision:
    """The average precision of each class at each IoU threshold.

    Args:
        objects: what is annotated.
        detections: what was found.
        classes: C; labels are 0 to C - 1.
        images: their number; those of objects and detections are 0 to images - 1.

    Raises:
        EnvironmentFault: faster-coco-eval is missing.
    """
    package = need_faster_coco_eval()
    truth = package.COCO(dataset_of(objects, classes=classes, images=images), print_function=_silent)
    found = truth.loadRes(results_of(detections))
    evaluation = package.COCOeval_faster(truth, found, iouType="bbox", print_function=_silent)
    evaluation.evaluate()
    evaluation.accumulate()
    # Thresholds, recalls, classes, ranges of areas, numbers of detections: all areas, 100 detections.
    precision: Array = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    mean = precision.mean(axis=1).T
    return AveragePrecision(np.where(precision.min(axis=1).T < 0, np.nan, mean))


def dataset_of(objects: Objects, *, classes: int, images: int) -> dict[str, Any]:
    """The objects as a dataset of COCO."""
    boxes = _with_sides(objects.box)
    return {
        "images": [{"id": number, "width": 0, "height": 0} for number in range(images)],
        "categories": [{"id": number, "name": str(number)} for number in range(classes)],
        "annotations": [
            {
                "id": number,  # from 1: COCO takes 0 for "none"
                "image_id": image,
                "category_id": label,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(difficult),
            }
            for number, (image, label, box, difficult) in enumerate(
                zip(objects.image.tolist(), objects.label.tolist(), boxes, objects.difficult.tolist(), strict=True),
                start=1,
            )
        ],
    }


def results_of(detections: Detections) -> list[dict[str, Any]]:
    """The detections as COCO's list of results."""
    boxes = _with_sides(detections.box)
    rows = zip(detections.image.tolist(), detections.label.tolist(), boxes, detections.score.tolist(), strict=True)
    return [{"image_id": image, "category_id": label, "bbox": box, "score": score} for image, label, box, score in rows]


def _with_sides(boxes: Array) -> list[list[float]]:
    """(x, y, width, height) of each box."""
    exact = boxes.astype(np.float64)
    sides: list[list[float]] = np.concatenate((exact[:, :2], exact[:, 2:] - exact[:, :2]), axis=1).tolist()
    return sides


def _silent(*_: Any) -> None:
    """Of the package's reports."""
