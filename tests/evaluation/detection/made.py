"""Random sets of objects and detections."""

from __future__ import annotations

import numpy as np

from copgen.data.objects import Array, Objects
from copgen.evaluation.detection.boxes import Detections


def objects(*rows: tuple[int, int, tuple[float, float, float, float], bool]) -> Objects:
    """Of (image, label, box, difficult)."""
    return Objects(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float32).reshape(-1, 4),
        np.array([row[3] for row in rows], dtype=bool),
    )


def detections(*rows: tuple[int, int, tuple[float, float, float, float], float]) -> Detections:
    """Of (image, label, box, score)."""
    return Detections(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float32).reshape(-1, 4),
        np.array([row[3] for row in rows], dtype=np.float32),
    )


def random_set(
    seed: int, *, images: int = 12, classes: int = 3, objects: int = 30, detections: int = 80, difficult: float
) -> tuple[Objects, Detections]:
    """Objects of whole pixels, and detections: most near an object, some anywhere, with many equal scores."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 60, (objects, 2))
    box = np.concatenate((corner, corner + rng.integers(2, 40, (objects, 2))), axis=1).astype(np.float32)
    image, label = rng.integers(0, images, objects), rng.integers(0, classes, objects)
    truth = Objects(image, label, box, rng.random(objects) < difficult)

    near = rng.integers(0, objects, detections)
    moved: Array = box[near] + rng.normal(0, rng.choice([0.3, 2.0, 6.0], (detections, 1)), (detections, 4))
    anywhere = rng.random(detections) < 0.2
    moved[anywhere] = box[rng.permutation(near)[anywhere]]
    first = np.minimum(moved[:, :2], moved[:, 2:] - 0.5).clip(0)
    found = np.concatenate((first, np.maximum(moved[:, 2:], first + 0.5)), axis=1).astype(np.float32)
    score = np.where(rng.random(detections) < 0.5, rng.integers(0, 5, detections) / 5, rng.random(detections))
    where = np.where(rng.random(detections) < 0.1, rng.integers(0, images, detections), image[near])
    what = np.where(rng.random(detections) < 0.1, rng.integers(0, classes, detections), label[near])
    return truth, Detections(where, what, found, score.astype(np.float32))
