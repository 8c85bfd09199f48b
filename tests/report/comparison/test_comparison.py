"""Rows have one method, columns one protocol, and the numbers of the paper are those of its rows."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from copgen.report.comparison import Comparison, Result, compared
from copgen.report.comparison.method import method_of
from copgen.report.comparison.paper import _rows, paper_value
from copgen.report.comparison.protocol import label_of
from tests.report.comparison.made import TRANSFORM, made_by, result


def shape(found: Comparison) -> tuple[int, int]:
    return len(found.rows), len(found.columns)


def test_runs_that_differ_in_seeds_and_places_are_one_row() -> None:
    values = (0.90, 0.92, 0.97)
    found = compared([result(made_by(seed), top1=value) for seed, value in enumerate(values)])
    assert shape(found) == (1, 1)
    cell = found.rows[0].cells[0]
    assert cell is not None
    assert (cell.values, cell.encoders) == (values, 3)
    assert (cell.mean, cell.std) == (statistics.fmean(values), statistics.stdev(values))
    assert found.rows[0].labels == ("COP-Gen", "simclr", "residual-flow-mnist", "optimal", "mnist")
    assert found.notes == ()


@pytest.mark.parametrize(
    "other",
    [
        made_by(1, lr=0.2),
        made_by(1, navigator={"seed": 1, "lr": 2e-5}),
        made_by(1, navigator=None),
        made_by(1, generator="bigbigan"),
        made_by(1, transform={"name": "gaussian", "settings": {"std": 0.05}}, navigator=None),
        made_by(1, real="mnist"),
    ],
)
def test_runs_that_differ_in_anything_else_are_not(other: dict[str, Any]) -> None:
    found = compared([result(made_by(0)), result(other)])
    assert shape(found) == (2, 1)
    if found.rows[0].labels == found.rows[1].labels:
        assert found.rows[0].apart or found.rows[1].apart


def test_settings_tell_rows_of_the_same_labels_apart() -> None:
    found = compared([result(made_by(0, lr=rate)) for rate in (0.1, 0.2)])
    assert [row.apart for row in found.rows] == ["lr 0.1", "lr 0.2"]


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "digits"},
        {"kind": "knn"},
        {"selected_on": "validation"},
        {"probe": "lbfgs"},
        {"inputs": {"images": "another test set"}},
        {"linear": {"epochs": 5}},
    ],
)
def test_other_data_or_protocols_are_other_columns(change: dict[str, Any]) -> None:
    found = compared([result(made_by(0)), result(made_by(1), **change)])
    assert shape(found) == (1, 2)
    assert [cell is not None and cell.encoders for cell in found.rows[0].cells] == [1, 1]
    names = {(column.label, column.apart) for column in found.columns}
    assert len(names) == 2  # so that nobody takes them for the same


@pytest.mark.parametrize(("protocol", "columns"), [("authors", 1), ("validation", 2)])
def test_the_authors_rates_of_real_and_generated_images_are_one_protocol(protocol: str, columns: int) -> None:
    rates = (made_by(0), [6.0]), (made_by(1, real="mnist"), [2.0])
    found = compared([result(by, protocol=protocol, linear={"lr_grid": rate}) for by, rate in rates])
    assert shape(found) == (2, columns)


def test_pairs_are_compared_by_what_measured_them() -> None:
    def of_pairs(seed: int, above: float, text: str = "MS-SSIM") -> Result:
        similarity = {"ms-ssim": {"text": text, "pairs": {"mean": above}, "null": {"0.5": above}, "above_null": above}}
        return result(made_by(seed), kind="pairs", similarity=similarity)

    assert shape(compared([of_pairs(0, 0.8), of_pairs(1, 0.9)])) == (1, 1)
    assert shape(compared([of_pairs(0, 0.8), of_pairs(1, 0.9, "another version of it")])) == (1, 2)


@pytest.mark.parametrize(
    "how",
    [
        [{"protocol": "authors", "linear": {"lr_grid": [rate]}} for rate in (2.0, 6.0)],
        [{"images": {"size": size, "resize": None, "channels": 1}} for size in (28, 56)],
        [{"images": {"size": 28, "resize": resize, "channels": 1}} for resize in (28, 32)],
    ],
)
def test_an_encoder_that_was_evaluated_in_two_ways_has_two_columns(how: list[dict[str, Any]]) -> None:
    by = made_by(0)
    found = compared([result(by, top1=top1, **own) for top1, own in zip((0.8, 0.9), how, strict=True)])
    assert shape(found) == (1, 2)
    assert found.notes == ()
    assert [cell and cell.values for cell in found.rows[0].cells] == [(0.8,), (0.9,)]
    assert len({column.apart for column in found.columns} - {""}) == 2


def test_encoders_of_several_sizes_are_compared_each_at_its_own() -> None:
    sizes = ({"size": size, "resize": None, "channels": 1} for size in (28, 56))
    found = compared([result(made_by(seed), images=images) for seed, images in enumerate(sizes)])
    assert shape(found) == (1, 1)


def test_a_file_with_two_normalisations_counts_twice() -> None:
    two = []
    for views in ("simclr", "mnist"):
        document = result({"source": {"file": "resnet50.pth"}}).document
        encoder = {**document["encoder"], "config": {**document["encoder"]["config"], "views": views}}
        two.append(Result(Path("results.json"), {**document, "encoder": encoder}))
    found = compared(two)
    assert shape(found) == (2, 1)
    assert found.notes == ()


def test_a_result_counts_once_and_seeds_of_the_evaluation_are_told() -> None:
    one, again, other_seed = result(made_by(0)), result(made_by(0)), result(made_by(0), seed=1, top1=0.8)
    found = compared([one, again, other_seed])
    cell = found.rows[0].cells[0]
    assert cell is not None
    assert (len(cell.values), cell.encoders) == (2, 1)
    assert len(found.notes) == 2


def test_every_number_of_labels_is_a_column_in_its_order() -> None:
    few = {labels: {"top1_mean": value} for labels, value in (("1", 0.5), ("10", 0.7), ("5", 0.6))}
    found = compared([result(made_by(0), kind="few-shot", few_shot=few)])
    cells = [cell and cell.mean for cell in found.rows[0].cells]
    assert cells == [0.5, 0.6, 0.7]


def test_encoders_of_other_programs_have_the_names_of_their_files() -> None:
    moco = {"stage": "encoder import", "source": {"file": "moco.pth", "sha256": "s"}}
    found = compared([result(moco), result({})])
    assert found.rows[0].labels[0] == "moco.pth"
    assert len(found.rows) == 2


@pytest.mark.parametrize(
    ("how", "table", "value"),
    [
        ({}, 9, 98.95),
        ({"transform": {"name": "none"}, "navigator": None}, 9, 98.54),
        ({"transform": {"name": "gaussian-truncated", "settings": {"std": 0.05}}, "navigator": None}, 9, 98.83),
        ({"real": "mnist"}, 9, 99.35),
    ],
)
def test_numbers_of_the_paper(how: dict[str, Any], table: int, value: float) -> None:
    one = result(made_by(0, **how))
    found = paper_value(one, method_of(one), "top1")
    assert found is not None
    assert (found.table, found.value, found.std, found.differs) == (table, value, None, ())


VOC = "VOC2007 trainval + VOC2012 trainval"


@pytest.mark.parametrize(
    ("evaluated", "measure", "value"),
    [
        (
            result(
                made_by(0, generator="biggan-deep-128", method="supcon", views="simclr"),
                kind="detect",
                dataset=VOC,
                protocol={"updates": 96_000, "backbone": "c4"},
            ),
            "voc07.ap50",
            (10, 78.46, None),
        ),
        (
            result({}, kind="generator", dataset="imagenet", generated={"generator": {"name": "icgan-128"}}),
            "scores.anchors.inception.fid.mean",
            (8, 11.7, 0.0),
        ),
    ],
    ids=["detection", "scores"],
)
def test_numbers_of_other_evaluations(evaluated: Result, measure: str, value: tuple[int, float, float | None]) -> None:
    found = paper_value(evaluated, method_of(evaluated), measure)
    assert found is not None
    assert (found.table, found.value, found.std) == value
    assert found.differs == ()


def test_longer_pretraining_has_its_own_number_with_its_spread() -> None:
    by = made_by(0, generator="bigbigan", views="simclr")
    for epochs, value in ((100, (52.39, 0.85)), (200, (52.73, 0.65))):
        one = result({**by, "summary": {"samples": 10 * epochs, "pairs": 10}}, dataset="imagenet")
        found = paper_value(one, method_of(one), "top1")
        assert found is not None
        assert (found.value, found.std, found.differs) == (*value, ())


def test_what_the_paper_did_otherwise_is_said() -> None:
    one = result({**made_by(0), "summary": {"samples": 30, "pairs": 60}}, selected_on="validation")
    found = paper_value(one, method_of(one), "top1")
    assert found is not None
    assert found.differs == ("epochs 100, not 0.5", "selected on test, not validation")
    by = made_by(0, generator="biggan-deep-128", method="supcon", views="simclr")
    pyramid = result(by, kind="detect", dataset=VOC, protocol={"updates": 96_000, "backbone": "fpn"})
    found = paper_value(pyramid, method_of(pyramid), "voc07.ap")
    assert found is not None
    assert found.differs == ("backbone c4, not fpn",)
    assert "best test epoch" in label_of(result(made_by(0)))


@pytest.mark.parametrize("change", [{"dataset": "digits"}, {"kind": "knn"}])
def test_other_evaluations_have_no_number_of_the_paper(change: dict[str, Any]) -> None:
    one = result(made_by(0), **change)
    assert paper_value(one, method_of(one), "top1") is None
    other = result(made_by(0, method="byol"))
    assert paper_value(other, method_of(other), "top1") is None


def test_the_tables_of_the_appendix_are_complete() -> None:
    """Rows of tables 6 to 10: linear evaluations, in 8 scores too, in 10 detection; 8 repeats two rows of 7."""
    rows = _rows()
    assert [sum(number == table for number, _ in rows) for table in (6, 7, 8, 9, 10)] == [6, 4, 4, 4, 12]
    assert TRANSFORM["name"] == "optimal"
    assert all(0 < row["top1"][0] < 100 for number, row in rows if number == 6)
