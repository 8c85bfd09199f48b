"""The picture of `eval detect`: test images with their objects, and what the detector found."""

from __future__ import annotations

import numpy as np
from PIL import Image

from copgen.data.voc import VocImages
from copgen.evaluation.detection.boxes import Detections
from copgen.report.boxes import Box, boxed_sheet

IMAGES = 12
SCORE = 0.5  # of the detections that are drawn, and the best one of each image in any case
OBJECT, DIFFICULT, DETECTION = "green", "darkseagreen", "red"


def detections_sheet(source: VocImages, found: Detections, *, channels: int) -> Image.Image:
    """Render test images at equal distances in their list.

    Args:
        source: the test images.
        found: their detections.
        channels: in which the detector sees them, 1 or 3.
    """
    shown = np.unique(np.linspace(0, len(source) - 1, IMAGES).round().astype(int)).tolist()
    heading = (
        f"{len(shown)} of {len(source):,} test images. Green: objects (pale: difficult). "
        f"Red: detections with a score of {SCORE:g} or more, and the best one."
    )
    return boxed_sheet(heading, [(source.pixels(one, channels), boxes_of(source, found, one)) for one in shown])


def boxes_of(source: VocImages, found: Detections, image: int) -> list[Box]:
    """The objects of an image, then its detections, the best one last."""
    objects, own = source.objects_of(image), found.select(found.image == image)
    order = np.argsort(own.score, kind="stable")
    own = own.select(order[(own.score[order] >= SCORE) | (np.arange(len(order)) == len(order) - 1)])
    annotated = zip(objects.box.tolist(), objects.label.tolist(), objects.difficult.tolist(), strict=True)
    detected = zip(own.box.tolist(), own.label.tolist(), own.score.tolist(), strict=True)
    return [
        *(Box(tuple(box), source.classes[label], DIFFICULT if hard else OBJECT) for box, label, hard in annotated),
        *(
            Box(tuple(box), f"{source.classes[label]} {score:.2f}", DETECTION, below=True)
            for box, label, score in detected
        ),
    ]
