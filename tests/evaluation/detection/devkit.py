"""VOC07 AP a second time, from the published definition (VOC devkit, 11 points): one detection after the other."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal

from copgen.data.objects import Objects
from copgen.evaluation.detection.boxes import Detections


def rounded(value: float, places: str) -> float:
    """As printf rounds."""
    return float(Decimal(value).quantize(Decimal(places), rounding=ROUND_HALF_EVEN))


def overlap(a: list[float], b: list[float]) -> float:
    """Of pixel boxes, whose last pixel belongs to them."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return width * height / (area[0] + area[1] - width * height)


def ap(objects: Objects, detections: Detections, *, label: int, threshold: float) -> float:
    """AP of a class at an IoU threshold; NaN without objects that count."""
    there: dict[int, list[dict[str, object]]] = {}
    positives = 0
    for row in range(len(objects.image)):
        if objects.label[row] != label:
            continue
        x1, y1, x2, y2 = objects.box[row].tolist()
        entry = {"box": [x1 + 1, y1 + 1, x2, y2], "difficult": bool(objects.difficult[row]), "taken": False}
        there.setdefault(int(objects.image[row]), []).append(entry)
        positives += not objects.difficult[row]
    if not positives:
        return math.nan
    lines = []
    for row in range(len(detections.image)):
        if detections.label[row] == label:
            corners = [float(v) for v in (detections.box[row] + (1, 1, 0, 0)).astype("float32")]
            box = [rounded(corner, "0.1") for corner in corners]
            lines.append((rounded(float(detections.score[row]), "0.001"), int(detections.image[row]), box))
    lines.sort(key=lambda line: -line[0])  # stable
    true = false = 0
    curve: list[tuple[float, float]] = []
    for _, image, box in lines:
        best, most = None, -math.inf
        for entry in there.get(image, []):
            if (iou := overlap(box, entry["box"])) > most:  # type: ignore[arg-type]
                best, most = entry, iou
        if best is not None and most > threshold:
            if best["difficult"]:
                pass
            elif best["taken"]:
                false += 1
            else:
                best["taken"] = True
                true += 1
        else:
            false += 1
        curve.append((true / positives, true / (true + false) if true + false else 0.0))
    total = 0.0
    for tenth in range(11):
        total += max((precision for recall, precision in curve if recall >= 0.1 * tenth), default=0.0)
    return total / 11
