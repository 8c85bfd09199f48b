"""`eval pairs`: a pairs folder in, a verdict, results.json and a picture out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC
from torch import Tensor

from copgen import encoders, pairs
from copgen.data import digits
from copgen.encoders import EncoderConfig
from copgen.evaluation.calibrated_svm import CalibratedSVM
from copgen.evaluation.digits_classifier import NO_DIGIT, DigitsClassifier
from copgen.evaluation.pairs_health.spread import spread
from copgen.pairs import to_uint8
from copgen.runtime.errors import CopgenError, DataError, EnvironmentFault, UsageError
from copgen.stages.eval import pairs as stage
from copgen.stages.eval import pairs_judge, pairs_measured
from copgen.stages.eval.pairs import eval_pairs
from copgen.stages.eval.settings.pairs import EvalPairsSettings, PairsThresholds
from tests.pairs import folders, trees
from tests.stages.eval import drawn
from tests.stages.eval.test_linear import Recorder

Positive = Callable[[Tensor, int], Tensor]
UNJUDGED = " (not judged: label agreement)"  # without a classifier
READY = f"ready{UNJUDGED}"
KILLED = """
import os, signal, sys
from pathlib import Path
from copgen.evaluation import parts
from copgen.stages.eval import pairs_judge, pairs_measured
from copgen.stages.eval.pairs import eval_pairs
from copgen.stages.eval.settings.pairs import EvalPairsSettings

parts.SECONDS = pairs_judge.SECONDS = 0.0
pairs_judge.SMALL = 100
set_rows, train = pairs_measured.Rows.set, pairs_judge.train_heads

def until_the_third_batch(rows, first, *others):
    if first == 40:
        os.kill(os.getpid(), signal.SIGKILL)
    set_rows(rows, first, *others)

def until_the_third_epoch(*given, progress, **how):
    train(*given, progress=lambda done, top1: done == 3 and os.kill(os.getpid(), signal.SIGKILL), **how)

pairs_measured.Rows.set = until_the_third_batch
if sys.argv[3] == "probe":
    pairs_judge.train_heads = until_the_third_epoch
folder, encoder = map(Path, sys.argv[1:3])
eval_pairs(EvalPairsSettings(pairs=folder, encoder=encoder, dataset="digits", n=57, device="cpu", batch=20, rows=3))
"""


def write(folder: Path, positive: Positive, *, count: int = 60, transform: str = "gaussian", **changes: Any) -> Path:
    """Pairs of real digits and what `positive` makes of each, with its class and d = 0.1, 0.2, ... in the metadata."""
    images = to_uint8(digits.load("train").images)
    made = folders.plan(
        pairs=count,
        pairs_per_shard=25,
        image_shape=(1, 8, 8),
        transform={"name": transform},
        versions={"copgen": "0.1.0", **pairs.encoder_versions("png", (1, 8, 8))},
        **changes,
    )
    made.save(folder)

    def pair(index: int) -> pairs.Pair:
        positives = tuple(positive(images, index + 1000 * j) for j in range(made.positives))
        return pairs.Pair(index, images[index], positives, {"d": 0.1 * (1 + index % 3), "class": index % 2})

    for number in range(made.shards):
        pairs.write_shard(folder, made, number, map(pair, made.shard_range(number)))
    pairs.finish(folder, made)
    return folder


def slightly(images: Tensor, index: int) -> Tensor:
    """The anchor, darker at a random place."""
    changed = images[index % 1000].clone()
    changed[0, (index + index // 1000) % 8] -= changed[0, (index + index // 1000) % 8] // 4
    return changed


def same(images: Tensor, index: int) -> Tensor:
    return images[index % 1000]


def another(images: Tensor, index: int) -> Tensor:
    """An image that has nothing to do with the anchor."""
    return images[(7 * index + 311) % 1000]


def quick(folder: Path, **changes: Any) -> EvalPairsSettings:
    values = {"pairs": folder, "device": "cpu", "classifier": "none", "n": 50, "rows": 3}
    return EvalPairsSettings.model_validate(values | changes)


def check_of(result: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (check for check in result["checks"] if check["name"] == name)
    return dict(found)


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


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    encoders.save_encoder(folder, encoders.build("digits", 1), config, {})
    return folder


@pytest.mark.parametrize("small", [True, False])
def test_labels_by_a_probe_on_an_encoder(
    small: bool, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By logistic regression, or SGD for many images: untrained features suffice for most digits."""
    monkeypatch.setattr(pairs_judge, "SMALL", 10_000 if small else 100)
    folder = write(tmp_path / "pairs", slightly)
    result = eval_pairs(quick(folder, encoder=encoder, dataset="digits", classifier="auto", n=60))
    labels = result["labels"]
    assert labels["accuracy_real"] > 0.8
    assert labels["agreement"] > 0.6 > 0.3 > labels["null"]
    assert ("logistic regression" in labels["classifier"]) == small
    name = f"encoder:{encoder}"
    assert list(result["similarity"]) == ["ms-ssim", name]
    assert result["diversity"]["space"] == name
    assert result["inputs"]["encoder.safetensors"]
    assert set(result["per_class"]) <= set(map(str, range(10)))
    kept = sum(one["pairs"] * one["agreement"] for one in result["per_class"].values())
    assert kept / 60 == pytest.approx(labels["agreement"])


def test_an_encoder_without_a_dataset_gives_features_only(encoder: Path, tmp_path: Path) -> None:
    events = Recorder()
    folders.write(tmp_path / "pairs", folders.plan(image_shape=(3, 12, 10)))
    result = eval_pairs(quick(tmp_path / "pairs", encoder=encoder, space="pixels"), events=events)
    assert (result["labels"], result["diversity"]["space"]) == (None, "pixels")
    assert any("converted to 8 x 8 and 1" in line for line in events.lines)


@pytest.mark.parametrize("killed_in", ["probe", "pairs"])
def test_it_resumes_after_a_kill_with_the_same_bytes(
    killed_in: str, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "pairs", slightly)
    ended = subprocess.run([sys.executable, "-c", KILLED, folder, encoder, killed_in], check=False)
    assert ended.returncode == -signal.SIGKILL
    monkeypatch.setattr(pairs_judge, "SMALL", 100)
    settings = quick(folder, encoder=encoder, dataset="digits", classifier="auto", n=57, batch=20)
    events, measured, set_rows = Recorder(), list[int](), pairs_measured.Rows.set

    def counted(rows: pairs_measured.Rows, first: int, *others: Any) -> None:
        measured.append(first)
        set_rows(rows, first, *others)

    monkeypatch.setattr(pairs_measured.Rows, "set", counted)
    eval_pairs(settings, events=events)
    assert any("epoch 3" in line for line in events.lines) == (killed_in == "probe")
    # Of the two batches that were done, the second gives the null level of the third.
    assert measured == ([20, 40] if killed_in == "pairs" else [0, 20, 40])
    health = tmp_path / "pairs-health"
    assert {path.name for path in health.iterdir()} == {"results.json", "pairs.png"}
    eval_pairs(settings, out=tmp_path / "whole")
    for name in ("results.json", "pairs.png"):
        assert (health / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_embedded_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one fitted on few images in its place, which takes a second instead of twelve."""
    fitted = list[int]()

    def quick_fit() -> DigitsClassifier:
        fitted.append(1)
        train = digits.load("train")
        noise = torch.rand(50, 64, generator=torch.Generator().manual_seed(0))
        images = torch.cat(((train.images.flatten(1)[:500] + 1) / 2, noise)).double().numpy()
        labels = np.concatenate((train.labels[:500].numpy(), np.full(50, NO_DIGIT)))
        machine = CalibratedClassifierCV(SVC(C=10.0, gamma=0.256), ensemble=False, cv=3).fit(images, labels)
        return DigitsClassifier(CalibratedSVM.of(machine))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pairs_judge, "fit_digits_classifier", quick_fit)
    folder = write(tmp_path / "pairs", another)
    with monkeypatch.context() as patch:
        patch.setattr(pairs_measured.Rows, "set", killed)
        with pytest.raises(KeyboardInterrupt):
            eval_pairs(quick(folder, classifier="auto"))
    assert fitted == [1]
    result = eval_pairs(quick(folder, classifier="auto"))  # the plan says that the generator is that of the digits
    assert fitted == [1]  # it was kept
    assert {path.name for path in (tmp_path / "pairs-health").iterdir()} == {"results.json", "pairs.png"}
    assert result["labels"]["agreement"] < 0.4
    assert result["labels"]["accuracy_real"] > 0.9
    assert "label agreement" in result["verdict"]
    kinds = {name for name, one in result["per_class"].items() if one["pairs"]}
    assert kinds <= {*map(str, range(10)), "no digit"}
    folders.write(tmp_path / "rgb", folders.plan(image_shape=(3, 8, 8)))
    assert eval_pairs(quick(tmp_path / "rgb", classifier="auto"))["labels"] is None
    with pytest.raises(UsageError, match="--encoder"):
        eval_pairs(quick(tmp_path / "rgb", classifier="digits"))


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


def test_an_encoder_and_a_dataset_that_do_not_fit(encoder: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "pairs", slightly, count=4)
    photos = drawn.photos(tmp_path / "photos")
    with pytest.raises(UsageError, match="--convert-channels"):
        eval_pairs(quick(folder, encoder=encoder, dataset=str(photos), classifier="auto"))


def test_an_encoder_that_diverged(tmp_path: Path) -> None:
    folder, network = write(tmp_path / "pairs", slightly, count=4), encoders.build("digits", 1)
    with torch.no_grad():
        for value in network.parameters():
            value.fill_(1e30)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    encoders.save_encoder(tmp_path / "run", network, config, {})
    with pytest.raises(DataError, match="not finite"):
        eval_pairs(quick(folder, encoder=tmp_path / "run"))


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
