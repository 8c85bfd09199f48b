"""Monitors: numbers about the encoder at an interval, which change nothing of the training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from copgen.runtime.errors import DataError, UsageError
from copgen.stages.pretrain.stage import pretrain
from tests.data import made
from tests.stages.pretraining import ARTEFACT, KINDS, PAIRS, K, pretrain_settings
from tests.stages.small import metrics

FREE = {"rank_me", "alignment", "uniformity"}
PROBES = {"knn_top1", "linear_top1"}


def test_they_are_logged_at_their_interval_and_change_no_weight(
    pretrain_pairs: Path, tmp_path: Path, straight_pretrain: Callable[[str], Path]
) -> None:
    settings = pretrain_settings(pretrain_pairs, **KINDS["sgd"], monitor="digits", monitor_every=3 * K)
    pretrain(settings, out=tmp_path)
    probed = {line["update"]: line for line in metrics(tmp_path) if "rank_me" in line}
    assert set(probed) == {3, 6}
    for line in probed.values():
        assert set(line) >= FREE | PROBES
        assert 1 <= line["rank_me"] <= 64
        assert 0 <= line["alignment"] <= 4
        assert -8 <= line["uniformity"] <= 0
        assert 0.5 < line["knn_top1"] <= 1  # an untrained network does better than that on digits
        assert 0.5 < line["linear_top1"] <= 1
    straight = straight_pretrain("sgd")
    kept = [{name: value for name, value in line.items() if name not in FREE | PROBES} for line in metrics(tmp_path)]
    assert kept == metrics(straight)
    from copgen import encoders

    one, other = encoders.load(tmp_path / ARTEFACT), encoders.load(straight / ARTEFACT)
    assert all(bool((one.state_dict()[name] == value).all()) for name, value in other.state_dict().items())


def test_without_labels_there_are_no_probes_and_with_them_an_epoch_is_the_interval(
    pretrain_pairs: Path, tmp_path: Path
) -> None:
    pretrain(pretrain_settings(pretrain_pairs, updates=3, monitor_every=2 * K), out=tmp_path / "free")
    assert [set(line) & (FREE | PROBES) for line in metrics(tmp_path / "free")] == [set(), FREE, set()]
    pretrain(pretrain_settings(pretrain_pairs, updates=6, monitor="digits"), out=tmp_path / "probed")
    probed = [line["update"] for line in metrics(tmp_path / "probed") if "knn_top1" in line]
    assert probed == [PAIRS // K]


def test_an_unknown_dataset_is_refused_before_anything_is_written(pretrain_pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="digits"):
        pretrain(pretrain_settings(pretrain_pairs, monitor="digit"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ({f"only/{k}.png" for k in range(10)}, "photos are of one class"),
        ({"cat/1.png", "dog/1.png"}, "validation split of .*photos has no images"),
    ],
)
def test_labels_that_cannot_be_probed_are_refused_at_the_start(
    pretrain_pairs: Path, tmp_path: Path, images: set[str], says: str
) -> None:
    made.files(tmp_path / "photos", dict.fromkeys(images, made.image(0)))
    settings = pretrain_settings(pretrain_pairs, updates=1, monitor=str(tmp_path / "photos"))
    with pytest.raises(DataError, match=says):
        pretrain(settings, out=tmp_path / "run")
