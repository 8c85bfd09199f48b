"""`eval pairs`: a pairs folder in, a verdict, results.json and a picture out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from copgen import pairs
from copgen.evaluation.pairs_health.spread import spread
from copgen.runtime.errors import CopgenError, DataError, EnvironmentFault, UsageError
from copgen.stages.eval import pairs as stage
from copgen.stages.eval import pairs_measured
from copgen.stages.eval.pairs import eval_pairs
from copgen.stages.eval.settings.pairs import EvalPairsSettings, PairsThresholds
from tests.pairs import folders, trees
from tests.stages.eval.made_pairs import Positive, another, check_of, quick, same, slightly, write

UNJUDGED = " (not judged: label agreement)"  # without a classifier
READY = f"ready{UNJUDGED}"


def test_good_pairs_are_ready(tmp_path: Path) -> None:
    folder = write(tmp_path / "pairs", slightly)
    result = eval_pairs(quick(folder))
    out = tmp_path / "pairs-health"
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(result))
    assert (result["verdict"], result["kind"], result["format"]) == (READY, "eval-pairs", 1)
    assert result["pairs"] | {"folder": ""} == {
        "folder": "",
        "measured": 50,
        "of": 60,
        "positives": 1,
        "image_shape": [1, 8, 8],
        "image_format": "png",
    }
    main = result["similarity"]["ms-ssim"]
    assert main["pairs"]["mean"] > 0.7 > 0.3 > main["null"]["mean"]
    assert main["above_null"] > 0.9
    assert result["equal"] < 0.01
    assert result["repeated_positives"] is None
    assert result["d"]["0.5"] == pytest.approx(0.2)
    assert result["diversity"]["effective_rank"] > 10
    assert result["inputs"]["pairs"] == result["provenance"]["plan"] == pairs.read_plan(folder).digest
    assert result["provenance"]["generator"] == {"name": "digits", "sha256": "a" * 64, "settings": {}}
    assert result["thresholds"] == PairsThresholds().model_dump()
    with Image.open(out / "pairs.png") as picture:
        assert picture.size > (200, 200)
        assert len(np.unique(np.asarray(picture))) > 10


def test_labels_are_unknown_without_a_classifier_and_the_metadata_do_not_count(tmp_path: Path) -> None:
    result = eval_pairs(quick(write(tmp_path / "pairs", slightly)))
    check = check_of(result, "label agreement")
    assert (result["labels"], check["value"], check["ok"]) == (None, None, None)
    assert result["not_judged"] == ["label agreement"]
    assert "--encoder" in check["advice"]
    assert result["classes_from"] == "metadata"
    assert list(result["per_class"]) == ["0", "1"]
    assert sum(one["pairs"] for one in result["per_class"].values()) == 50
    assert {one["agreement"] for one in result["per_class"].values()} == {None}


@pytest.mark.parametrize(
    ("positive", "failed"), [(same, "positives equal to their anchor"), (another, "similarity"), (slightly, "")]
)
def test_bad_pairs_are_named(positive: Positive, failed: str, tmp_path: Path) -> None:
    result = eval_pairs(quick(write(tmp_path / "pairs", positive)))
    assert result["verdict"] == (f"look at {failed}{UNJUDGED}" if failed else READY)
    if failed:
        assert check_of(result, failed)["advice"]


def test_equal_positives_without_a_transform_are_by_design(tmp_path: Path) -> None:
    result = eval_pairs(quick(write(tmp_path / "pairs", same, transform="none")))
    check = check_of(result, "positives equal to their anchor")
    assert (result["verdict"], check["value"], check["by_design"], check["ok"]) == (READY, 1.0, True, True)


def test_repeated_anchors_are_near_duplicates(tmp_path: Path) -> None:
    folder, made = tmp_path / "pairs", folders.plan(pairs=40, pairs_per_shard=40, image_shape=(3, 16, 16))
    made.save(folder)
    some = [folders.pair(made, index % 4) for index in range(40)]
    pairs.write_shard(folder, made, 0, (pairs.Pair(k, one.anchor, one.positives) for k, one in enumerate(some)))
    pairs.finish(folder, made)
    result = eval_pairs(quick(folder))
    assert result["diversity"]["near_duplicates"] == 1.0
    assert result["diversity"]["effective_rank"] < 5
    assert "near-duplicates" in result["verdict"]
    assert "effective rank" in result["verdict"]
    assert (result["d"], result["classes_from"]) == (None, None)


def test_several_positives(tmp_path: Path) -> None:
    folder = write(tmp_path / "pairs", slightly, positives=3)
    result = eval_pairs(quick(folder))
    assert result["repeated_positives"] == 0.0
    repeated = eval_pairs(quick(write(tmp_path / "same", same, positives=2)))
    assert repeated["repeated_positives"] == 1.0
    assert "equal positives" in repeated["verdict"]


def test_it_is_a_function_of_the_seed_and_not_of_the_batch(tmp_path: Path) -> None:
    folder = write(tmp_path / "pairs", slightly)
    once = eval_pairs(quick(folder, n=31), out=tmp_path / "a")
    again = eval_pairs(quick(folder, n=31), out=tmp_path / "b")
    assert once == again
    assert (tmp_path / "a/pairs.png").read_bytes() == (tmp_path / "b/pairs.png").read_bytes()
    small = eval_pairs(quick(folder, n=31, batch=7, workers=1), out=tmp_path / "c")
    for part in ("pairs", "null"):
        one, other = (result["similarity"]["ms-ssim"][part] for result in (once, small))
        assert one == pytest.approx(other, abs=1e-6)
    assert eval_pairs(quick(folder, n=31, seed=1), out=tmp_path / "d")["similarity"] != once["similarity"]


def test_imported_pairs(tmp_path: Path) -> None:
    from copgen.stages.pairs_folder.import_pairs import import_pairs

    shape = (3, 16, 12)
    import_pairs(trees.tree(tmp_path / "tree", {"n01": 6, "n02": 4}, shape=shape), out=tmp_path / "pairs")
    result = eval_pairs(quick(tmp_path / "pairs"))
    assert result["provenance"]["imported"]["name"] == "tree"
    assert {name: one["pairs"] for name, one in result["per_class"].items()} == {"n01": 6, "n02": 4}


def test_images_too_small_for_ms_ssim_are_compared_by_pixels(tmp_path: Path) -> None:
    folders.write(tmp_path / "pairs", folders.plan())
    result = eval_pairs(quick(tmp_path / "pairs"))
    assert list(result["similarity"]) == ["pixels"]
    with pytest.raises(UsageError, match="8 pixels"):
        eval_pairs(quick(tmp_path / "pairs", similarity=("ms-ssim",)))


def test_thresholds_are_settings(tmp_path: Path) -> None:
    folder = write(tmp_path / "pairs", slightly)
    strict = eval_pairs(quick(folder, thresholds={"effective_rank": 49}))
    assert strict["verdict"] == f"look at effective rank{UNJUDGED}"
    assert check_of(strict, "effective rank")["threshold"] == 49


def bad_settings(folder: Path) -> Iterator[tuple[dict[str, Any], type[CopgenError], str]]:
    yield {"pairs": folder / "nowhere"}, DataError, "nowhere"
    yield {"similarity": ("ms-sim",)}, UsageError, "ms-ssim"
    yield {"space": "pixel"}, UsageError, "pixels"
    yield {"encoder": folder / "nothing"}, DataError, "nothing"
    yield {"device": "cuda:77"}, EnvironmentFault, "cuda:77"


@pytest.mark.parametrize("number", range(5))
def test_what_cannot_be_done_is_refused_before_anything_is_written(number: int, tmp_path: Path) -> None:
    folder = write(tmp_path / "pairs", slightly, count=4)
    changes, error, named = list(bad_settings(folder))[number]
    with pytest.raises(error, match=named):
        eval_pairs(quick(folder, **changes))
    assert not (tmp_path / "pairs-health").exists()


def test_missing_weights_are_reported_before_a_pair_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "pairs", slightly, count=4)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(stage, "measure", None)
    with pytest.raises(EnvironmentFault, match="alexnet-owt-7be5be79"):
        eval_pairs(quick(folder, similarity=("ms-ssim", "lpips")))


def test_a_single_pair(tmp_path: Path) -> None:
    result = eval_pairs(quick(write(tmp_path / "pairs", slightly, count=1)))
    unknown = [check["name"] for check in result["checks"] if check["ok"] is None]
    assert unknown == ["label agreement", "similarity", "near-duplicates"]
    assert "--n" in check_of(result, "similarity")["advice"]
    assert result["similarity"]["ms-ssim"]["null"] is None


@pytest.mark.parametrize(
    "changes", [{"dataset": "digits"}, {"dataset": "digits", "encoder": "x", "classifier": "digits"}]
)
def test_settings_that_exclude_each_other(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dataset = digits"):
        EvalPairsSettings.model_validate({"pairs": tmp_path, **changes})


def test_d_of_the_positive_that_was_sampled() -> None:
    assert pairs_measured.d_of({"d": 0.5, "d_positives": [0.5, 0.7]}, 1) == 0.7
    assert pairs_measured.d_of({"d": 0.5}, 0) == 0.5
    assert np.isnan([pairs_measured.d_of(known, 0) for known in ({}, {"d": None}, {"d": True}, {"d": "0.5"})]).all()


def test_results_are_beside_the_pairs() -> None:
    assert stage.results_folder(EvalPairsSettings(pairs=Path("a/pairs/"))) == Path("a/pairs-health")
    assert stage.results_folder(EvalPairsSettings(pairs=Path("."))) == Path("pairs-health")
    assert stage.results_folder(EvalPairsSettings(out=Path("b")), "c") == Path("c")
    assert set(spread(torch.ones(3)).values()) == {0.0, 1.0}
