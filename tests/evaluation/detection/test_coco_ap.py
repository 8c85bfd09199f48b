"""COCO AP: equal to pycocotools."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from copgen.data.objects import Array, Objects
from copgen.evaluation.detection.boxes import Detections
from copgen.evaluation.detection.coco_ap import coco_ap, dataset_of, results_of
from copgen.runtime.errors import EnvironmentFault
from tests.evaluation.detection.made import detections, objects, random_set

SETS, CLASSES, IMAGES = 200, 3, 6
HERE, THERE = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 70.0, 70.0)


def of_pycocotools(truth: Objects, found: Detections) -> Array:
    """AP (classes, thresholds), NaN without objects."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    there: Any = COCO()
    there.dataset = dataset_of(truth, classes=CLASSES, images=IMAGES)
    there.createIndex()
    evaluation: Any = COCOeval(there, there.loadRes(results_of(found)), "bbox")
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return np.where(precision.min(axis=1) < 0, np.nan, precision.mean(axis=1)).T


@pytest.mark.parametrize("first", range(0, SETS, 50))
def test_equal_to_pycocotools_on_random_sets(first: int, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(first, first + 50):
        difficult, count = (0.0, 0.2, 0.6)[seed % 3], (60, 8)[seed % 2]
        truth, found = random_set(seed, images=IMAGES, objects=18, detections=count, difficult=difficult)
        ours = coco_ap(truth, found, classes=CLASSES, images=IMAGES).table
        np.testing.assert_allclose(ours, of_pycocotools(truth, found), rtol=0, atol=1e-6, err_msg=str(seed))
    capsys.readouterr()


def test_more_than_100_detections_of_an_image_do_not_count() -> None:
    many = [(0, 0, THERE, 0.9)] * 100
    truth = objects((0, 0, HERE, False))
    assert coco_ap(truth, detections(*many[:99], (0, 0, HERE, 0.1)), classes=1, images=1).ap50 == pytest.approx(0.01)
    assert coco_ap(truth, detections(*many, (0, 0, HERE, 0.1)), classes=1, images=1).ap50 == 0.0


def test_difficult_objects_do_not_count() -> None:
    truth = objects((0, 0, HERE, False), (0, 0, THERE, True), (0, 1, HERE, True))
    found = coco_ap(truth, detections((0, 0, THERE, 0.9), (0, 0, HERE, 0.5)), classes=2, images=1)
    assert found.table[0].tolist() == pytest.approx([1.0] * 10)
    assert np.isnan(found.table[1]).all()


def test_nothing_found_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert coco_ap(objects((0, 0, HERE, False)), detections(), classes=1, images=1).ap == 0.0
    assert capsys.readouterr() == ("", "")


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "faster_coco_eval":
            raise ImportError("No module named 'faster_coco_eval'")
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EnvironmentFault, match=r"copgen\[eval\]"):
        coco_ap(objects(), detections(), classes=1, images=1)
