"""`eval generator`: a generator or a pairs folder in, results.json out; features are kept and read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from copgen.data import digits
from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.evaluation.generation.class_score import class_score
from copgen.evaluation.generation.frechet import frechet_distance, moments
from copgen.evaluation.generation.manifolds import manifolds
from copgen.evaluation.spaces import FeatureSpace, open_space
from copgen.evaluation.spaces.pixels import Pixels
from copgen.pairs import read
from copgen.pairs.pixels import from_uint8, to_uint8
from copgen.runtime import philox
from copgen.runtime.errors import CopgenError, EnvironmentFault, ExitCode
from copgen.runtime.events import Events, Silent
from copgen.stages.eval import generator as stage
from copgen.stages.eval.generated import open_generated
from copgen.stages.eval.generator import eval_generator
from copgen.stages.eval.settings.generator import EvalGeneratorSettings
from copgen.stages.pairs_folder.import_pairs import import_pairs
from copgen.stages.pretrain.online import OnlinePairs
from copgen.stages.sample import sample
from copgen.stages.sample.settings import SampleSettings
from tests.pairs import trees
from tests.stages.eval import drawn
from tests.stages.small import Recorder


class Small(Pixels):
    """The brightness of 4 x 4 squares: covariances of 16 x 16 take no time."""

    def __call__(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(super().__call__(images).view(-1, 3, 16, 16), 4)[:, 0].flatten(1)


class Classifying(Small):
    """A classifier, which goes by another name."""

    def logits(self, features: Tensor) -> Tensor:
        return 5.0 * features[:, :7]


SMALL = Small(torch.device("cpu"), dim=16)


def opened(name: str, *, device: torch.device, events: Events) -> FeatureSpace:
    """`open_space` with a smaller space of pixels."""
    return SMALL if name == "pixels" else open_space(name, device=device, events=events)


MOVED: dict[str, Any] = {"transform": "gaussian", "std": 0.5}


@pytest.fixture
def given(flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EvalGeneratorSettings]:
    """Settings of a small generator in the space of pixels, unless changed; None unsets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "open_space", opened)

    def made(**changes: Any) -> EvalGeneratorSettings:
        fields: dict[str, Any] = {
            "generator": "digits",
            "weights": flow,
            "space": ("pixels",),
            "n": 40,
            "real_n": 60,
            "device": "cpu",
            "batch": 16,
        }
        kept = {name: value for name, value in {**fields, **changes}.items() if value is not None}
        return EvalGeneratorSettings.model_validate(kept)

    return made


def test_the_scores_are_those_of_the_images(given: Callable[..., EvalGeneratorSettings]) -> None:
    settings = given(images="both", **MOVED)
    result = eval_generator(settings)
    assert json.loads(Path("runs/eval-generator/digits/results.json").read_text()) == json.loads(json.dumps(result))
    assert (result["kind"], result["n"], result["dataset"]["of"]) == ("eval-generator", 40, 1429)
    assert stage.results_file(given(generator=None, weights=None, pairs="a/b")) == Path("a/b-scores/results.json")

    every = SampleSettings(generator="digits", weights=settings.weights, n=40, seed=0, device="cpu", **MOVED)
    pairs = OnlinePairs(every, torch.device("cpu"), rounded=True)
    space, items = SMALL, torch.arange(40)
    order = philox.permutation(0, 1429, stream="eval/real-images")[:60]
    source = digits.source("train+validation")
    real = space(source.batch(order, torch.zeros_like(order), torch.device("cpu")))
    for column, name in enumerate(("anchors", "positives")):
        features = space(pairs.batch(items, torch.full_like(items, column), torch.device("cpu")))
        scores = result["scores"][name]["pixels"]
        assert scores["frechet_distance"]["mean"] == pytest.approx(
            frechet_distance(moments([features]), moments([real]))
        )
        assert scores["frechet_distance"]["std"] is None
        for score, value in vars(manifolds(real, features)).items():
            assert scores[score]["mean"] == pytest.approx(value)
    halves = frechet_distance(moments([real[:30]]), moments([real[30:]]))
    assert result["real_halves"]["pixels"]["frechet_distance"] == pytest.approx(halves)
    assert result["spaces"]["pixels"]["few_images"] is False


def test_a_pairs_folder_has_the_scores_of_its_generator(given: Callable[..., EvalGeneratorSettings]) -> None:
    generated = eval_generator(given(images="both", **MOVED))
    weights = given().weights
    sample(
        SampleSettings(generator="digits", weights=weights, n=40, seed=0, device="cpu", pairs_per_shard=16, **MOVED),
        out=Path("pairs"),
    )
    folder = eval_generator(given(generator=None, weights=None, pairs="pairs", n=None, images="both"), out="scores")
    assert folder["scores"] == generated["scores"]
    assert folder["n"] == 40
    assert folder["provenance"]["generator"] == generated["provenance"]["generator"]
    assert folder["provenance"]["pairs"] == folder["generated"]["plan"]
    assert Path("scores/results.json").exists()


def test_imported_pairs_are_scored_in_a_random_order(given: Callable[..., EvalGeneratorSettings]) -> None:
    """They come class by class: the first of them, and each split of a class score, would be of some classes."""
    import_pairs(trees.tree(Path("tree"), {"n01": 60, "n02": 60}, shape=(1, 8, 8)), out=Path("pairs"))
    generated = open_generated(given(generator=None, weights=None, pairs="pairs"), torch.device("cpu"))
    shown = to_uint8(torch.cat([x for some in (range(70), range(70, 120)) for x in generated.batches("anchors", some)]))
    known = torch.stack([pair.anchor for pair in read(Path("pairs"))]).flatten(1)
    places = [int((known == image.flatten()).all(dim=1).nonzero()[0]) for image in shown]
    assert sorted(places) == list(range(120))
    assert 10 < sum(place < 60 for place in places[:40]) < 30
    assert eval_generator(given(generator=None, weights=None, pairs="pairs"))["n"] == 40


def test_draws_are_disjoint_and_summarised(given: Callable[..., EvalGeneratorSettings]) -> None:
    both = eval_generator(given(draws=2, n=30))["scores"]["anchors"]["pixels"]["frechet_distance"]
    first = eval_generator(given(n=30))["scores"]["anchors"]["pixels"]["frechet_distance"]
    assert both["draws"][0] == pytest.approx(first["mean"])
    assert both["draws"][0] != both["draws"][1]
    assert both["mean"] == pytest.approx(sum(both["draws"]) / 2)
    assert both["std"] == pytest.approx(abs(both["draws"][0] - both["draws"][1]) / 2**0.5)


def test_features_are_read_again(given: Callable[..., EvalGeneratorSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    first = eval_generator(given())
    calls: list[str] = []

    def counted(of: str) -> Callable[[Small, Tensor], Tensor]:
        whole = Small.__call__

        def call(space: Small, images: Tensor) -> Tensor:
            calls.append(of)
            return whole(space, images)

        return call

    monkeypatch.setattr(Small, "__call__", counted("features"))
    assert eval_generator(given()) == first
    assert calls == []
    eval_generator(given(seed=1))  # other images, the same real ones
    assert len(calls) == 3
    assert eval_generator(given(cache=False), out="elsewhere") == first
    assert len(calls) == 3 + 3 + 4
    assert [path.name for path in Path("elsewhere").iterdir()] == ["results.json"]


def test_an_interrupted_evaluation_resumes(given: Callable[..., EvalGeneratorSettings]) -> None:
    class Stopping(Silent):
        def begin(self, title: str, *, total: int, unit: str, done: int = 0) -> None:
            if "positives" in title:
                raise KeyboardInterrupt

    settings = given(images="both", **MOVED)
    with pytest.raises(KeyboardInterrupt):
        eval_generator(settings, out="stopped", events=Stopping())
    assert len(list(Path("stopped/features").iterdir())) == 2
    assert eval_generator(settings, out="stopped") == eval_generator(settings, out="whole")


@pytest.mark.parametrize(
    ("name", "keys"),
    [("inception", ("fid", "inception_score")), ("efficientnet-lite0", ("frechet_distance", "class_score"))],
)
def test_only_inceptions_distance_is_called_fid(
    name: str, keys: tuple[str, str], given: Callable[..., EvalGeneratorSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Classifying(torch.device("cpu"), name=name, dim=16)
    settings = given(space=(name,))
    monkeypatch.setattr(stage, "open_space", lambda asked, *, device, events: space)
    result = eval_generator(settings)
    scores = result["scores"]["anchors"][name]
    assert set(scores) == {*keys, f"{keys[1]}_splits_std", "precision", "recall", "density", "coverage"}
    assert set(result["real_halves"][name]) == {*keys, "precision", "recall", "density", "coverage"}
    weights = given().weights
    every = SampleSettings(generator="digits", weights=weights, n=40, seed=0, device="cpu", transform="none")
    items = torch.arange(40)
    images = OnlinePairs(every, torch.device("cpu"), rounded=True).batch(items, 0 * items, torch.device("cpu"))
    expected = class_score([space.logits(space(from_uint8(to_uint8(images))))], count=40)
    assert scores[keys[1]]["mean"] == pytest.approx(expected.mean)
    assert scores[f"{keys[1]}_splits_std"]["mean"] == pytest.approx(expected.std)


def test_real_images_of_other_sizes_and_colours(given: Callable[..., EvalGeneratorSettings]) -> None:
    drawn.photos(Path("photos"))
    recorder = Recorder()
    result = eval_generator(given(dataset="photos", convert_channels=True, real_n=None), events=recorder)
    real = result["dataset"]
    assert (real["images"], real["size"], real["channels"]) == (60, 8, 1)
    assert any("8 pixels" in sentence for sentence in recorder.sentences)
    assert not recorder.warnings


def test_few_images_for_the_dimensions_are_warned_about(given: Callable[..., EvalGeneratorSettings]) -> None:
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    save_encoder(Path("run"), build("digits", 1), config, {})
    recorder = Recorder()
    result = eval_generator(given(space=("encoder:run",), n=20, real_n=20), events=recorder)
    assert result["spaces"]["encoder:run"]["few_images"] is True
    assert any("encoder:run" in warning and "20" in warning for warning in recorder.warnings)


def test_missing_weights_are_told_before_any_work(
    given: Callable[..., EvalGeneratorSettings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COPGEN_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(EnvironmentFault, match="weights-inception-2015-12-05-6726825d"):
        eval_generator(given(space=("pixels", "inception"), weights="nowhere.safetensors"))
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"generator": None, "weights": None}, ExitCode.USAGE, "generator"),
        ({"pairs": "pairs"}, ExitCode.USAGE, "pairs"),
        ({"generator": "digit"}, ExitCode.USAGE, "digits"),
        ({"n": 19}, ExitCode.USAGE, "20"),
        ({"real_n": 1430}, ExitCode.USAGE, "--real-n 1429"),
        ({"real_n": 19}, ExitCode.USAGE, "20"),
        ({"space": ("pixel",)}, ExitCode.USAGE, "pixels"),
        ({"space": ("pixels", "pixels")}, ExitCode.USAGE, "twice"),
        ({"space": ("encoder:a", "encoder:b")}, ExitCode.USAGE, "encoder:b"),
        ({"dataset": "digitz"}, ExitCode.USAGE, "digits"),
        ({"dataset": "photos"}, ExitCode.USAGE, "--convert-channels"),
        ({"dataset": "cifar10"}, ExitCode.USAGE, "--convert-channels"),  # before it is looked for
        ({"images": "positives"}, ExitCode.DATA, "runs/navigate"),
        ({"images": "positives", "transform": "steering"}, ExitCode.DATA, "runs/steering"),
        ({"generator": None, "weights": None, "pairs": "nowhere"}, ExitCode.DATA, "nowhere"),
        ({"generator": None, "weights": None, "pairs": "pairs", "n": 30, "draws": 2}, ExitCode.USAGE, "--n 20"),
        ({"device": "cuda:9"}, ExitCode.ENVIRONMENT, "cuda:9"),
    ],
)
def test_what_cannot_be_scored(
    changes: dict[str, Any], code: ExitCode, said: str, given: Callable[..., EvalGeneratorSettings]
) -> None:
    if "pairs" in changes.values():
        plain = {"weights": given().weights, "n": 40, "device": "cpu", "transform": "none"}
        sample(SampleSettings.model_validate({"generator": "digits", **plain}), out=Path("pairs"))
    if "photos" in changes.values():
        drawn.photos(Path("photos"))
    for name in "ab":  # the same encoder twice
        torch.manual_seed(0)
        config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
        save_encoder(Path(name), build("digits", 1), config, {})
    with pytest.raises((CopgenError, ValueError), match=said) as caught:
        eval_generator(given(**changes))
    if isinstance(caught.value, CopgenError):
        assert caught.value.code == code
    else:
        assert code == ExitCode.USAGE  # of the settings
    assert not Path("runs").exists()
