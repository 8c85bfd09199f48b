"""Every evaluation has numbers to compare, under the names that its `results.json` has."""

from __future__ import annotations

from typing import Any

import pytest

from copgen.report.comparison import compared
from tests.report.comparison.made import made_by, result

AP = {"ap": 0.5, "ap50": 0.8, "ap75": 0.6, "per_class": {"cat": {"ap": 0.5, "ap50": 0.8}}}
FOUND: list[tuple[str, dict[str, Any], dict[str, float]]] = [
    ("linear", {"top1": 0.9, "top5": 0.99}, {"Top-1 %": 0.9, "Top-5 %": 0.99}),
    ("few-shot", {"few_shot": {"1": {"top1_mean": 0.4}}}, {"Top-1 %, labels 1": 0.4}),
    (
        "finetune",
        {"finetune": {"1%": {"top1_mean": 0.4, "frozen": {"top1_mean": 0.3}, "draws": [{"top1": 0.4}]}}},
        {"Top-1 %, labels 1%": 0.4, "frozen Top-1 %, labels 1%": 0.3},
    ),
    (
        "transfer",
        {"datasets": {"a/b.c": {"score": 0.5}, "digits": {"score": 0.7}}, "mean": 0.6},
        {"a/b.c %": 0.5, "digits %": 0.7, "mean %": 0.6},
    ),
    (
        "alignment",
        {"features": {"alignment": 0.1, "uniformity": -2.0, "rank_me": 9.0, "share_of_chance": 0.9}},
        {"alignment": 0.1, "uniformity": -2.0, "RankMe": 9.0, "InfoNCE, % of chance": 0.9},
    ),
    (
        "detect",
        {"voc07": AP, "coco": {**AP, "ap": 0.4}},
        {
            "AP, VOC07": 0.5,
            "AP50, VOC07": 0.8,
            "AP75, VOC07": 0.6,
            "AP, COCO": 0.4,
            "AP50, COCO": 0.8,
            "AP75, COCO": 0.6,
        },
    ),
    (
        "generator",
        {"scores": {"anchors": {"inception": {"fid": {"mean": 20.0, "std": None}, "recall": {"mean": 0.5}}}}},
        {"FID, anchors, inception": 20.0, "recall, anchors, inception": 0.5},
    ),
    (
        "pairs",
        {
            "labels": {"agreement": 0.8},
            "similarity": {"ms-ssim": {"above_null": 0.97}},
            "diversity": {"effective_rank": 32.0, "near_duplicates": 0.0},
            "equal": 0.0,
        },
        {
            "label agreement %": 0.8,
            "more alike than others %, ms-ssim": 0.97,
            "equal to the anchor %": 0.0,
            "near-duplicates %": 0.0,
            "effective rank": 32.0,
        },
    ),
]


@pytest.mark.parametrize(("kind", "more", "expected"), FOUND, ids=[kind for kind, *_ in FOUND])
def test_the_numbers_of_each_evaluation(kind: str, more: dict[str, Any], expected: dict[str, float]) -> None:
    found = compared([result(made_by(0), kind=kind, **{"top1": None, **more})])
    cells = [cell.mean for cell in found.rows[0].cells if cell is not None]
    assert dict(zip((column.measure.label for column in found.columns), cells, strict=True)) == expected


def columns(kind: str, one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """Measures of the columns of two results, with the name of what the columns tell apart."""
    numbers = next(more for name, more, _ in FOUND if name == kind)
    both = [
        result(made_by(seed), kind=kind, **{"top1": None, **numbers, **more}) for seed, more in enumerate((one, other))
    ]
    return {column.apart for column in compared(both).columns}


def test_what_is_measured_is_no_column_of_its_own() -> None:
    """Two pairs folders, or two encoders as detectors, are rows beside each other."""
    for kind, name in (("pairs", "pairs"), ("detect", "encoder")):
        assert columns(kind, {"inputs": {name: "a"}}, {"inputs": {name: "b"}}) == {""}
    assert columns("alignment", {"inputs": {"pairs": "a"}}, {"inputs": {"pairs": "b"}}) != {""}


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("generator", {"n": 50_000}, {"n": 1000}),
        ("alignment", {"info_nce": {"batch": 32}}, {"info_nce": {"batch": 256}}),
        ("transfer", *({"datasets": {"a.b": {"score": 1, "inputs": {"train": x}}}} for x in "xy")),
        ("finetune", *({"finetune": {"1%": {"top1_mean": 1, "updates": count}}} for count in (60, 30))),
    ],
)
def test_what_decides_a_number_makes_other_columns(kind: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert "" not in columns(kind, one, other)


@pytest.mark.parametrize(
    ("kind", "more", "name"),
    [
        ("generator", {"generated": {"generator": {"name": "biggan"}}}, "biggan"),
        ("pairs", {"pairs": {"folder": "data/pairs"}}, "data/pairs"),
    ],
)
def test_rows_without_an_encoder_have_the_name_of_what_is_measured(kind: str, more: dict[str, Any], name: str) -> None:
    numbers = next(numbers for known, numbers, _ in FOUND if known == kind)
    found = compared([result({}, kind=kind, **{"top1": None, "encoder": None, **numbers, **more})])
    assert found.rows[0].labels[0] == name
