"""VOC07 average precision, the paper's metric: 11-point interpolation, at IoU thresholds .50 to .95.

As the evaluator of detectron2 with `use_07_metric`: it writes detections into text files first, so that scores are
rounded to three decimals and boxes to one; boxes count pixels from 1 and include their last one (VOC devkit). A
detection is matched with the object of its class in its image that it overlaps most. It is a true positive if the IoU
is above the threshold and no detection with a higher score has taken that object; it does not count if the object is
difficult; else it is a false positive. AP is the mean of the highest precision at a recall of at least 0, 0.1, ..., 1.

Two choices of our own: detections of equal score keep their order (the sort of detectron2 is not stable), and a class
without objects has no AP (there it is 0).

Legend: G objects, D detections, P pairs of a detection and an object of the same class in the same image.
"""

from __future__ import annotations

import numpy as np

from copgen.data.objects import Array, Objects
from copgen.evaluation.detection.boxes import AveragePrecision, Detections

IOUS = np.arange(50, 100, 5) / 100.0
RECALLS = np.arange(0.0, 1.1, 0.1)  # 0.3, 0.6 and 0.7 are a rounding error above, which decides at these recalls
_EPS = np.finfo(np.float64).eps


def voc07_ap(objects: Objects, detections: Detections, *, classes: int) -> AveragePrecision:
    """The average precision of each class at each IoU threshold.

    Args:
        objects: what is annotated.
        detections: what was found.
        classes: C; labels are 0 to C - 1.
    """
    rounded = as_in_files(detections)
    whole = Objects(objects.image, objects.label, counted_from_one(objects.box), objects.difficult)
    return AveragePrecision(
        np.stack(
            [
                _of_class(whole.select(whole.label == label), rounded.select(rounded.label == label))
                for label in range(classes)
            ]
        )
    )


def as_in_files(detections: Detections) -> Detections:
    """Detections as VOC's result files hold them: scores with three decimals, boxes from pixel 1 on with one."""
    boxes = counted_from_one(detections.box)
    return Detections(
        detections.image,
        detections.label,
        np.array([float(f"{value:.1f}") for value in boxes.ravel().tolist()]).reshape(-1, 4),
        np.array([float(f"{value:.3f}") for value in detections.score.tolist()]),
    )


def counted_from_one(boxes: Array) -> Array:
    """Boxes (N, 4) of which the first pixel has the number 1."""
    counted: Array = boxes.astype(np.float32) + np.array([1, 1, 0, 0], dtype=np.float32)
    return counted


def _of_class(objects: Objects, detections: Detections) -> Array:
    """AP (10,) of one class."""
    positives = int(np.count_nonzero(~objects.difficult))
    if not positives:
        return np.full(len(IOUS), np.nan)
    order = np.argsort(-detections.score, kind="stable")
    by_image = np.argsort(objects.image, kind="stable")
    iou, best = best_overlaps(
        objects.image[by_image],
        objects.box[by_image].astype(np.float64),
        detections.image[order],
        detections.box[order],
    )
    difficult = objects.difficult[by_image]
    found = []
    for threshold in IOUS:
        matched = iou > threshold
        counts = matched & ~difficult[best]
        rows = np.flatnonzero(counts)
        first = rows[np.unique(best[rows], return_index=True)[1]]  # of the detections of an object
        true = np.zeros(len(iou))
        true[first] = 1.0
        false = (counts | ~matched) - true
        found.append(eleven_points(np.cumsum(true), np.cumsum(false), positives))
    return np.array(found)


def best_overlaps(image: Array, box: Array, of_image: Array, of_box: Array) -> tuple[Array, Array]:
    """The IoU (D,) of each detection with the object that it overlaps most, -inf without one; that object (D,).

    Args:
        image: (G,) of the objects, in ascending order.
        box: (G, 4) of the objects.
        of_image: (D,) of the detections.
        of_box: (D, 4) of the detections.
    """
    start = np.searchsorted(image, of_image, side="left")
    count = np.searchsorted(image, of_image, side="right") - start
    iou, best = np.full(len(of_image), -np.inf), np.zeros(len(of_image), dtype=np.int64)
    some = np.flatnonzero(count)
    if not some.size:
        return iou, best
    detection = np.repeat(some, count[some])  # (P,)
    begin = np.cumsum(count[some]) - count[some]  # of the pairs of each detection
    pair_object = np.arange(len(detection)) + np.repeat(start[some] - begin, count[some])
    pair_iou = _iou(of_box[detection], box[pair_object])
    iou[some] = np.maximum.reduceat(pair_iou, begin)
    highest = np.flatnonzero(pair_iou == iou[detection])
    rows, first = np.unique(detection[highest], return_index=True)
    best[rows] = pair_object[highest[first]]
    return iou, best


def _iou(one: Array, other: Array) -> Array:
    """Intersection over union (P,) of boxes (P, 4) that include their last pixel."""
    corner = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    intersection = np.maximum(corner + 1.0, 0.0).prod(axis=1)
    areas = (one[:, 2:] - one[:, :2] + 1.0).prod(axis=1) + (other[:, 2:] - other[:, :2] + 1.0).prod(axis=1)
    found: Array = intersection / (areas - intersection)
    return found


def eleven_points(true: Array, false: Array, positives: int) -> float:
    """The mean of the interpolated precision at eleven recalls.

    Args:
        true, false: (D,) numbers of true and false positives among the first detections.
        positives: objects that count.
    """
    recall, precision = true / positives, true / np.maximum(true + false, _EPS)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(envelope[np.searchsorted(recall, RECALLS, side="left")].mean())
