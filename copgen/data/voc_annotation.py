"""One annotation file of PASCAL VOC: the size of an image, and its objects.

VOC counts pixels from 1 and includes the last one: the box of a whole image is xmin = 1, xmax = width. Boxes here start
at 0 (`objects.py`), so 1 is subtracted from xmin and ymin, as detectron2 does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from copgen.data.objects import Objects
from copgen.runtime.errors import DataError, nearest

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
CORNERS = ("xmin", "ymin", "xmax", "ymax")
SLACK = 1.0  # pixels that a box may reach beyond its image, for annotations that count from 0; it is clipped
_DAMAGED = "Extract the archive again, or correct the file."


@dataclass(frozen=True)
class Annotation:
    """The content of an annotation file.

    Attributes:
        height, width: of the image, pixels.
        objects: with image number 0.
    """

    height: int
    width: int
    objects: Objects


def read_annotation(data: bytes, where: str, classes: Sequence[str]) -> Annotation:
    """The annotation in a file.

    Args:
        data: the whole file.
        where: how messages name it.
        classes: names, in the order of the labels.

    Raises:
        DataError: not XML, or not an annotation of VOC; a class that is not in `classes`; a box that is empty, or more
            than a pixel outside the image. The error names file, object and value.
    """
    root = _parsed(data, where)
    height, width = (_number(root.find("size"), side, f"{where}: its size") for side in ("height", "width"))
    if height < 1 or width < 1 or not (height.is_integer() and width.is_integer()):
        raise DataError(f"{where}: its size is {width:g} x {height:g} pixels.", fix=_DAMAGED)
    numbers = {name: label for label, name in enumerate(classes)}
    labels, boxes, difficult = [], [], []
    for number, element in enumerate(root.findall("object"), start=1):
        name = (element.findtext("name") or "").strip()
        if name not in numbers:
            raise DataError(
                f"{where}: object {number} has the class '{name}', which is not one of the {len(numbers)} classes.",
                fix=f"{nearest(name, numbers)} Pass --classes with all classes if the data has others than VOC.",
            )
        at = f"{where}: object {number} ({name})"
        labels.append(numbers[name])
        boxes.append(_box(element.find("bndbox"), at, height, width))
        difficult.append(bool(_number(element, "difficult", at, otherwise=0.0)))
    objects = Objects(
        np.zeros(len(labels), dtype=np.int64),
        np.array(labels, dtype=np.int64),
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array(difficult, dtype=bool),
    )
    return Annotation(int(height), int(width), objects)


class _NoDoctype(ElementTree.TreeBuilder):
    """VOC has no document type; one could define entities that expand without end."""

    def doctype(self, name: str, *_: Any) -> None:
        raise ElementTree.ParseError(f"it declares a document type, {name}")


def _parsed(data: bytes, where: str) -> ElementTree.Element:
    try:
        root = ElementTree.XML(data, ElementTree.XMLParser(target=_NoDoctype()))
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the others: of an unknown encoding
        raise DataError(f"{where} is not an annotation of VOC: {error}.", fix=_DAMAGED) from None
    if root.tag != "annotation":
        raise DataError(f"{where} is not an annotation of VOC: it is <{root.tag}>, not <annotation>.", fix=_DAMAGED)
    return root


def _number(parent: Any, name: str, where: str, *, otherwise: float | None = None) -> float:
    """A number in an element; `otherwise` if there is none."""
    text = None if parent is None else parent.findtext(name)
    if text is None and otherwise is not None:
        return otherwise
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where} has {f'<{name}>{text}' if text is not None else f'no <{name}>'}.", fix=_DAMAGED)
    return value


def _box(element: Any, where: str, height: float, width: float) -> tuple[float, float, float, float]:
    """A box from 0 on, inside the image."""
    x1, y1, x2, y2 = (_number(element, corner, where) for corner in CORNERS)
    outside = x1 < 1 - SLACK or y1 < 1 - SLACK or x2 > width + SLACK or y2 > height + SLACK
    box = max(x1 - 1, 0.0), max(y1 - 1, 0.0), min(x2, width), min(y2, height)
    if outside or box[2] <= box[0] or box[3] <= box[1]:
        problem = f"is outside the image of {width:g} x {height:g} pixels" if outside else "is empty"
        raise DataError(f"{where}: its box xmin {x1:g}, ymin {y1:g}, xmax {x2:g}, ymax {y2:g} {problem}.", fix=_DAMAGED)
    return box
