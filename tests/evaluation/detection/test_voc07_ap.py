"""VOC07 AP: equal to a second implementation on random sets, and to numbers computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from copgen.evaluation.detection.voc07_ap import IOUS, voc07_ap
from tests.evaluation.detection import devkit
from tests.evaluation.detection.made import detections, objects, random_set

HERE, THERE = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 70.0, 70.0)


@pytest.mark.parametrize("seed", range(40))
def test_equal_to_a_second_implementation(seed: int) -> None:
    truth, found = random_set(seed, difficult=(0.0, 0.2, 0.6)[seed % 3])
    ours = voc07_ap(truth, found, classes=3).table
    for label in range(3):
        for place, threshold in enumerate(IOUS.tolist()):
            theirs = devkit.ap(truth, found, label=label, threshold=threshold)
            assert ours[label, place] == pytest.approx(theirs, abs=1e-12, nan_ok=True), (label, threshold)


def test_one_box_found_is_everything_at_every_threshold() -> None:
    found = voc07_ap(objects((0, 0, HERE, False)), detections((0, 0, HERE, 0.9)), classes=1)
    assert found.table.tolist() == [[1.0] * 10]
    assert (found.ap, found.ap50, found.ap75) == (1.0, 1.0, 1.0)


def test_a_better_score_elsewhere_halves_the_precision() -> None:
    truth = objects((0, 0, HERE, False))
    found = voc07_ap(truth, detections((0, 0, HERE, 0.5), (0, 0, THERE, 0.9)), classes=1)
    assert found.ap50 == pytest.approx(0.5)


def test_half_the_objects_reach_six_of_eleven_recalls() -> None:
    truth = objects((0, 0, HERE, False), (1, 0, HERE, False))
    assert voc07_ap(truth, detections((0, 0, HERE, 0.5)), classes=1).ap50 == pytest.approx(6 / 11)


def test_the_second_detection_of_an_object_is_a_false_positive() -> None:
    truth = objects((0, 0, HERE, False), (1, 0, HERE, False))
    found = detections((0, 0, HERE, 0.9), (0, 0, HERE, 0.8), (1, 0, HERE, 0.7))
    # Precision 1 up to recall 0.5 (six points), then 2/3 (five).
    assert voc07_ap(truth, found, classes=1).ap50 == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_difficult_objects_and_their_detections_do_not_count() -> None:
    truth = objects((0, 0, HERE, False), (0, 0, THERE, True))
    found = detections((0, 0, THERE, 0.9), (0, 0, THERE, 0.8), (0, 0, HERE, 0.7))
    assert voc07_ap(truth, found, classes=1).ap50 == pytest.approx(1.0)


def test_a_class_whose_objects_are_all_difficult_has_no_ap() -> None:
    truth = objects((0, 0, HERE, True), (0, 1, HERE, False))
    found = voc07_ap(truth, detections((0, 0, HERE, 0.9), (0, 1, HERE, 0.9)), classes=2)
    assert np.isnan(found.table[0]).all()
    assert found.ap50 == 1.0
    assert found.document(("cat", "dog"))["per_class"]["cat"] == {"ap": None, "ap50": None}


def test_equal_scores_keep_their_order() -> None:
    truth = objects((0, 0, HERE, False))
    right_first = detections((0, 0, HERE, 0.5), (0, 0, THERE, 0.5))
    wrong_first = detections((0, 0, THERE, 0.5), (0, 0, HERE, 0.5))
    assert voc07_ap(truth, right_first, classes=1).ap50 == pytest.approx(1.0)
    assert voc07_ap(truth, wrong_first, classes=1).ap50 == pytest.approx(0.5)


def test_scores_are_rounded_to_three_decimals() -> None:
    truth = objects((0, 0, HERE, False))
    # 0.8004 and 0.8001 are equal then, and keep their order: the wrong one is first.
    found = detections((0, 0, THERE, 0.8001), (0, 0, HERE, 0.8004))
    assert voc07_ap(truth, found, classes=1).ap50 == pytest.approx(0.5)


def test_boxes_are_rounded_to_one_decimal() -> None:
    truth = objects((0, 0, HERE, False))
    # 10 x 10 pixels against 10 x 5.04, which is rounded to 10 x 5.0: an IoU of exactly 0.5 is not above it.
    assert voc07_ap(truth, detections((0, 0, (0, 0, 10, 5.04), 0.9)), classes=1).ap50 == 0.0
    assert voc07_ap(truth, detections((0, 0, (0, 0, 10, 5.06), 0.9)), classes=1).ap50 == 1.0


def test_nothing_found_is_zero_and_nothing_there_is_none() -> None:
    assert voc07_ap(objects((0, 0, HERE, False)), detections(), classes=1).ap == 0.0
    assert voc07_ap(objects(), detections((0, 0, HERE, 0.9)), classes=1).ap is None


def test_other_images_and_classes_are_false_positives() -> None:
    truth = objects((0, 0, HERE, False), (1, 1, HERE, False))
    found = voc07_ap(truth, detections((1, 0, HERE, 0.9), (0, 1, HERE, 0.9)), classes=2)
    assert found.ap == 0.0
    assert not math.isnan(found.table.sum())
