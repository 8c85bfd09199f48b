"""The time of average precision at the size of VOC2007's test set: `python -m benchmarks.voc_ap --out FILE`.

4,952 images are tested there; here 5,000, with 15,000 objects of 20 classes, a fifth of them difficult, and 100,000
detections: most are near an object, some anywhere. Both metrics of `copgen eval detect`, at ten IoU thresholds each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks import timing
from benchmarks.report import VERDICTS, head, measuring, options, table, verdict, written
from copgen.data.objects import Objects
from copgen.evaluation.detection.boxes import Detections
from copgen.evaluation.detection.coco_ap import coco_ap
from copgen.evaluation.detection.voc07_ap import voc07_ap

IMAGES, OBJECTS, DETECTIONS, CLASSES = 5_000, 15_000, 100_000, 20
TARGET_S = 10.0


def random_set(images: int, objects: int, detections: int) -> tuple[Objects, Detections]:
    """Objects and detections in images of 500 x 375 pixels."""
    rng = np.random.default_rng(0)
    corner = rng.integers(0, (400, 300), (objects, 2))
    box = np.concatenate((corner, corner + rng.integers(10, 75, (objects, 2))), axis=1).astype(np.float32)
    truth = Objects(rng.integers(0, images, objects), rng.integers(0, CLASSES, objects), box, rng.random(objects) < 0.2)
    near = rng.integers(0, objects, detections)
    found = (box[near] + rng.normal(0, 5, (detections, 4))).astype(np.float32)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    image = np.where(rng.random(detections) < 0.3, rng.integers(0, images, detections), truth.image[near])
    score = rng.random(detections).astype(np.float32)
    return truth, Detections(image, truth.label[near], found, score)


def report(*, images: int, objects: int, detections: int, rounds: int) -> Iterable[str]:
    """The whole benchmark as markdown."""
    truth, found = random_set(images, objects, detections)
    times = timing.interleaved(
        {
            "VOC07, 11 points": lambda: voc07_ap(truth, found, classes=CLASSES),
            "COCO, 101 points (faster-coco-eval)": lambda: coco_ap(truth, found, classes=CLASSES, images=images),
        },
        timing.CPU,
        rounds=(rounds, rounds),
        seconds=1.0,
    )
    yield from head("Average precision of detections", timing.machine(timing.CPU, ["numpy", "faster-coco-eval"]))
    yield from (f"## {images:,} images, {objects:,} objects of {CLASSES} classes, {detections:,} detections", "")
    yield from table(
        ("metric, at ten IoU thresholds", "ms", "p10-p90"), [(name, *t.cells) for name, t in times.items()]
    )
    seconds = times["VOC07, 11 points"].median / 1e3
    asked = f"VOC07 AP of {IMAGES:,} images and {DETECTIONS:,} detections: < {TARGET_S:.0f} s"
    reached = f"{seconds:.2f} s" if detections >= DETECTIONS and images >= IMAGES else None
    yield from table(VERDICTS, [verdict(asked, reached, met=seconds < TARGET_S)])


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    given = options(__doc__, device=False).parse_args(arguments)
    sizes = {"images": IMAGES, "objects": OBJECTS, "detections": DETECTIONS, "rounds": 5}
    toy = {"images": 20, "objects": 60, "detections": 300, "rounds": 1}
    with measuring(threads=1):
        return written(report(**(toy if given.toy else sizes)), given.out)


if __name__ == "__main__":
    main()
