"""Online pairs: those of a folder of the same seed, and never written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from copgen import encoders
from copgen.data.pairs import GeneratedPairs
from copgen.data.pairs_folder import PairsFolder
from copgen.pairs import open_pairs
from copgen.runtime.errors import UsageError
from copgen.stages.pretrain.online import OnlinePairs, generator_of, online_settings
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.pretrain.stage import open_data, pretrain
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from copgen.storage.files import read_json, sha256_of
from tests.generators import narrow
from tests.stages.navigating import KINDS
from tests.stages.small import metrics

CPU = torch.device("cpu")
N = 60


def online(flow: Path, **changes: object) -> PretrainSettings:
    fields = {
        "pairs": "online:digits",
        "weights": flow,
        "transform": "gaussian",
        "std": 0.3,
        "online_n": N,
        "seed": 5,
        "updates": 6,
        "batch": 16,
        "views": "mnist",
        "encoder": "digits",
        "projector": (16, 8),
        "checkpoint_every": 3,
        "device": "cpu",
    }
    return PretrainSettings.model_validate({**fields, **changes})


@pytest.fixture(scope="module")
def folder(flow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("online") / "pairs"
    fields = {"generator": "digits", "weights": flow, "n": N, "transform": "gaussian", "std": 0.3, "seed": 5}
    sample(SampleSettings.model_validate({**fields, "positives": 3, "device": "cpu"}), out=out)
    return out


def test_rounded_they_are_those_of_the_folder_of_the_same_seed(flow: Path, folder: Path) -> None:
    source = open_data(online(flow, positives=3, round=True))
    written = GeneratedPairs(open_pairs(folder), seed=5)
    assert isinstance(source, OnlinePairs)
    assert (len(source), source.channels, source.size) == (len(written), written.channels, written.size)
    items, columns = torch.tensor([50, 3, 3, 17]), source.columns(range(40, 44), 4)
    assert torch.equal(columns, written.columns(range(40, 44), 4))
    assert torch.equal(columns.sort(dim=1).values, torch.arange(4).expand(4, 4))
    for view in range(4):
        found = source.batch(items, columns[:, view], CPU)
        assert torch.equal(found, written.batch(items, columns[:, view], CPU))


@pytest.mark.parametrize("name", ["biggan-deep-128", "icgan-128"])
def test_their_classes_are_those_of_the_folder(name: str, tmp_path: Path) -> None:
    """A class, or the stored instance that the images of a pair share."""
    weights = narrow.published(name, tmp_path)
    fields = {"generator": name, "weights": weights, "n": 6, "batch": 6, "transform": "random", "seed": 5}
    settings = SampleSettings.model_validate({**fields, "device": "cpu"})
    sample(settings, out=tmp_path / "pairs")
    written = PairsFolder(tmp_path / "pairs", seed=5, labelled=True)
    source = OnlinePairs(settings, CPU, rounded=False)
    assert source.labels is not None
    assert written.labels is not None
    assert source.labels.tolist() == written.labels.tolist()


def test_they_are_not_rounded_unless_asked_for(flow: Path) -> None:
    source, rounded = open_data(online(flow)), open_data(online(flow, round=True))
    assert isinstance(source, OnlinePairs)
    assert isinstance(rounded, OnlinePairs)
    items, columns = torch.arange(8), torch.tensor([0, 1] * 4)
    exact, coarse = source.batch(items, columns, CPU), rounded.batch(items, columns, CPU)
    difference = (exact.clamp(-1, 1) - coarse).abs()
    assert 0 < float(difference.max()) <= 1 / 255 + 1e-6


def test_training_on_them_is_training_on_the_folder(flow: Path, folder: Path, tmp_path: Path) -> None:
    settings = online(flow, positives=1, round=True)
    summary = pretrain(settings, out=tmp_path / "online")
    plain = settings.replaced(pairs=folder, transform=None, std=None, weights=None, round=False)
    sample(
        SampleSettings.model_validate(
            {"generator": "digits", "weights": flow, "n": N, "transform": "gaussian", "std": 0.3, "seed": 5}
        ),
        out=tmp_path / "one",
    )
    assert pretrain(plain.replaced(pairs=tmp_path / "one"), out=tmp_path / "folder") == summary
    assert metrics(tmp_path / "online") == metrics(tmp_path / "folder")
    assert read_json(tmp_path / "online" / "summary.json")["pairs"] == N
    online_by, folder_by = (encoders.load(tmp_path / name).made_by for name in ("online", "folder"))
    assert {**online_by["pairs"], "plan": ""} == {**folder_by["pairs"], "plan": ""}
    assert folder_by["inputs"] == {"pairs": folder_by["pairs"]["plan"]}
    assert folder_by["pairs"]["generator"]["sha256"] == sha256_of(flow)


def test_a_navigate_run_says_generator_and_transform(navigated: Callable[[str], Path], flow: Path) -> None:
    run = navigated(next(iter(KINDS)))
    settings = online(flow, pairs=f"online:{run}", transform=None, std=None, weights=None)
    told = online_settings(settings)
    assert (told.generator, told.transform, told.navigator) == ("digits", "optimal", run)
    assert told.weights == flow
    assert generator_of(Path(f"online:{run}")) == "digits"


def test_pairs_of_a_generator_given_by_its_file(flow: Path) -> None:
    by_name, by_file = open_data(online(flow)), open_data(online(flow, pairs=f"online:{flow}", weights=None))
    assert isinstance(by_name, OnlinePairs)
    assert isinstance(by_file, OnlinePairs)
    assert generator_of(Path(f"online:{flow}")) == "digits"
    items, columns = torch.arange(2), torch.tensor([0, 1])
    a, b = (source.batch(items, columns, torch.device("cpu")) for source in (by_name, by_file))
    assert torch.equal(a, b)
    with pytest.raises(UsageError, match="other weights"):
        open_data(online(flow, pairs=f"online:{flow}"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transform": None, "std": None}, "--transform"),
        ({"pairs": "online:runs/nowhere"}, "nowhere"),
        ({"pairs": "online:digit"}, "digit"),
        ({"pairs": "online:"}, "online:digits"),
        ({"positives": 3, "transform": "none"}, "positives"),
    ],
)
def test_invalid_ones_are_refused(flow: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_data(online(flow, **changes))


@pytest.mark.parametrize("changes", [{"std": 0.1}, {"transform": "none"}, {"round": True}])
def test_settings_of_online_pairs_need_them(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="online"):
        PretrainSettings.model_validate({"pairs": "pairs", **changes})
