"""A small PASCAL VOC of shapes on noise, in the folders and files of the real one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.data import made

CLASSES = ("circle", "square", "triangle")
COLOURS = ((230, 60, 60), (60, 220, 60), (80, 90, 240))
Box = tuple[int, int, int, int]
# Settings of `copgen eval detect` for a detector that is trained in a moment.
TINY_DETECTOR = """\
updates = 1
batch = 1
sides = [24]
test_side = 24
max_side = 32
anchors = [8]
anchors_per_image = 16
regions_per_image = 4
statistics = 0
"""
# The same on these shapes, from an encoder of grey images or of RGB.
TINY = f'classes = ["circle", "square", "triangle"]\nconvert_channels = true\n{TINY_DETECTOR}'


def annotation(width: int, height: int, objects: list[tuple[str, Box, bool]]) -> bytes:
    """An annotation file; boxes as VOC counts them, from pixel 1 to the last one."""
    lines = [
        "<annotation><folder>VOC2007</folder>",
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
    ]
    for name, (x1, y1, x2, y2), difficult in objects:
        lines += [
            f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated>",
            f"<difficult>{int(difficult)}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>",
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>",
        ]
    return "\n".join([*lines, "</annotation>"]).encode()


def drawing(seed: int, *, width: int, height: int, most: int = 2) -> tuple[bytes, list[tuple[str, Box, bool]]]:
    """A JPEG with one or a few shapes that do not touch, and these."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 90, (height, width, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    objects: list[tuple[str, Box, bool]] = []
    for _ in range(int(rng.integers(1, most + 1))):
        side = int(rng.integers(14, 26))
        x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
        if any(x <= box[2] and box[0] <= x + side and y <= box[3] and box[1] <= y + side for _, box, _ in objects):
            continue
        label = int(rng.integers(0, 3))
        whole = (x, y, x + side - 1, y + side - 1)  # from 0, with the last pixel
        if label == 0:
            draw.ellipse(whole, fill=COLOURS[0])
        elif label == 1:
            draw.rectangle(whole, fill=COLOURS[1])
        else:
            draw.polygon([(x, whole[3]), (whole[2], whole[3]), (x + side // 2, y)], fill=COLOURS[2])
        objects.append((CLASSES[label], (x + 1, y + 1, x + side, y + side), bool(rng.random() < 0.1)))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95)
    return stream.getvalue(), objects


def year(root: Path, *, trainval: int = 24, test: int = 8, first: int = 0, side: int = 64) -> Path:
    """The folder of one year: images of side x side * 3/4, some of them upright."""
    contents: dict[str, bytes] = {}
    for split, count, start in (("trainval", trainval, first), ("test", test, first + 500_000)):
        names = [f"{number:06d}" for number in range(start, start + count)]
        for name in names:
            width, height = (side, side * 3 // 4) if int(name) % 3 else (side * 3 // 4, side)
            data, objects = drawing(int(name), width=width, height=height)
            contents[f"JPEGImages/{name}.jpg"] = data
            contents[f"Annotations/{name}.xml"] = annotation(width, height, objects)
        if count:
            contents[f"ImageSets/Main/{split}.txt"] = "".join(f"{name}\n" for name in names).encode()
    return made.files(root, contents)


def devkit(root: Path, *, trainval: int = 24, test: int = 8) -> Path:
    """VOCdevkit with both years."""
    year(root / "VOC2007", trainval=trainval, test=test)
    year(root / "VOC2012", trainval=trainval, test=0, first=1_000)
    return root
