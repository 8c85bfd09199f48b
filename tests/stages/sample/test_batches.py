"""The quality filter: which draws become pairs, that the others are redrawn, and that only the plan determines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from copgen import encoders, pairs
from copgen.encoders import EncoderConfig, save_encoder
from copgen.encoders.resnet import build
from copgen.latents.transforms import Gaussian, Identity
from copgen.pairs import FilterRules, Pair, Plan, TransformSource
from copgen.runtime.errors import ExitCode, UsageError
from copgen.runtime.settings import build as build_settings
from copgen.stages.sample.batches import make_batches
from copgen.stages.sample.pair_source import Source
from copgen.stages.sample.quality_filter import refused
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from copgen.stages.sample.transform import Positives
from tests.pairs import folders
from tests.stages.painter import Painter
from tests.stages.small import files

STD = 0.3  # of the gaussian step, in 10 coordinates: d is 0.3 on average, with a deviation of 0.07


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained encoder of 8x8 images."""
    folder = tmp_path_factory.mktemp("runs") / "pretrain"
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    save_encoder(folder, build("digits", 1).eval(), config, {})
    return folder


def planned(rules: FilterRules | None, **changes: Any) -> Plan:
    """Seventy pairs of the painter in three shards."""
    return folders.plan(pairs=70, pairs_per_shard=30, batch=16, image_shape=(1, 8, 8), filter=rules, **changes)


def drawn(plan: Plan, *, encoder: Path | None = None) -> list[Pair]:
    """All pairs of the plan, by the painter and normal steps."""
    transforms = tuple(Gaussian(STD, plan.seed, which=which) for which in range(plan.positives))
    positives = Positives(transforms, TransformSource(name="gaussian"))
    source = Source(Painter(torch.float32), positives, encoders.load(encoder) if encoder else None)
    shards = (make_batches(source, plan, number) for number in range(plan.shards))
    return [pair for shard in shards for batch in shard for pair in batch]


def same(one: Pair, other: Pair) -> bool:
    """Whether two pairs have the same pixels."""
    return torch.equal(one.anchor, other.anchor) and torch.equal(one.positive, other.positive)


BOUNDS = [{"min_d": 0.3}, {"max_d": 0.3}, {"min_d": 0.28, "max_d": 0.33}]


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
@pytest.mark.parametrize("positives", [1, 2])
def test_every_pair_keeps_the_rules_on_d(bounds: dict[str, float], positives: int) -> None:
    found = drawn(planned(FilterRules(**bounds, attempts=500), positives=positives))
    assert [pair.index for pair in found] == list(range(70))
    low, high = bounds.get("min_d", 0.0), bounds.get("max_d", 9.0)
    for pair in found:
        several = pair.metadata["d_positives"] if positives > 1 else [pair.metadata["d"]]
        assert len(several) == positives
        assert all(low <= d <= high for d in several)
    assert sum(pair.rejected for pair in found) > 20


def test_a_draw_that_is_kept_at_once_is_the_one_without_a_filter() -> None:
    plain, filtered = drawn(planned(None)), drawn(planned(FilterRules(min_d=0.3, attempts=500)))
    again = 0
    for one, other in zip(plain, filtered, strict=True):
        assert (other.rejected == 0) == (one.metadata["d"] >= 0.3) == same(one, other)
        assert "rejected" not in one.metadata
        assert other.metadata["rejected"] == other.rejected
        again += other.rejected > 0
    assert 10 < again < 60


def test_a_pair_does_not_depend_on_what_is_refused_around_it() -> None:
    rules = FilterRules(min_d=0.3, attempts=500)
    found = drawn(planned(rules))
    alone = drawn(folders.plan(pairs=70, pairs_per_shard=7, batch=1, image_shape=(1, 8, 8), filter=rules))
    for one, other in zip(found, alone, strict=True):
        assert (one.rejected, one.metadata["d"]) == (other.rejected, pytest.approx(other.metadata["d"], abs=2e-6))
        # The number of images in G at once decides low bits, so a byte may differ by one.
        assert int((one.positive.int() - other.positive.int()).abs().max()) <= 1


def test_a_filter_does_not_change_the_conditions() -> None:
    plain, filtered = drawn(planned(None)), drawn(planned(FilterRules(min_d=0.3, attempts=500)))
    classes = [pair.metadata["condition"] for pair in plain]
    assert classes == [pair.metadata["condition"] for pair in filtered]
    assert len(set(classes)) > 3


def test_rules_on_similarity_are_kept_in_the_encoder_s_own_terms(encoder: Path) -> None:
    f = encoders.load(encoder)
    free = drawn(planned(FilterRules(attempts=1)), encoder=encoder)
    middle = sorted(pair.metadata["similarity"] for pair in free)[35]
    found = drawn(planned(FilterRules(min_similarity=middle, attempts=500)), encoder=encoder)
    assert sum(pair.rejected for pair in found) > 10
    for pair in found:
        h, h_pos = (f(pairs.from_uint8(image[None])) for image in (pair.anchor, pair.positive))
        assert pair.metadata["similarity"] >= middle
        assert pair.metadata["similarity"] == pytest.approx(float(F.cosine_similarity(h, h_pos)[0]), abs=5e-3)


def test_both_kinds_of_rules_hold_together(encoder: Path) -> None:
    free = drawn(planned(FilterRules(attempts=1)), encoder=encoder)
    middle = sorted(pair.metadata["similarity"] for pair in free)[35]
    found = drawn(planned(FilterRules(max_d=0.3, max_similarity=middle, attempts=5000)), encoder=encoder)
    assert all(pair.metadata["d"] <= 0.3 and pair.metadata["similarity"] <= middle for pair in found)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"min_d": 3.0}, r"Pair 0 .* 4 times.* d >= 3; .* d 0\.[0-9]+\."),
        ({"min_d": 0.0, "max_d": 0.0}, r"d >= 0 and d <= 0; .*--min-d or --max-d .*--attempts"),
        ({"max_similarity": -0.99}, r"Pair 0 .* 4 times.* similarity <= -0\.99; .* similarity 0\."),
    ],
    ids=["low", "both", "similarity"],
)
def test_a_rule_that_no_draw_keeps_is_named(encoder: Path, rules: dict[str, float], says: str) -> None:
    plan = planned(FilterRules(**rules, attempts=4))
    with pytest.raises(UsageError, match=says) as caught:
        drawn(plan, encoder=encoder)
    assert caught.value.code == ExitCode.USAGE


def test_positives_that_are_their_anchors_can_be_bounded_too() -> None:
    plan = planned(FilterRules(max_d=0.0, attempts=1))
    source = Source(Painter(torch.float32), Positives((Identity(),), TransformSource(name="none")))
    assert all(torch.equal(pair.anchor, pair.positive) for pair in next(make_batches(source, plan, 0)))


def test_what_is_no_number_is_refused() -> None:
    values = torch.tensor([[0.5, float("nan")], [0.5, 0.6], [0.5, 0.8]])
    assert refused(values, 0.1, 0.7).tolist() == [True, False, True]
    assert refused(values[:, :1], None, None).tolist() == [False] * 3


def filtered_settings(flow: Path, **changes: Any) -> SampleSettings:
    fields = {
        "generator": "digits",
        "weights": flow,
        "transform": "gaussian",
        "std": 0.2,
        "n": 90,
        "batch": 16,
        "pairs_per_shard": 40,
        "min_d": 0.2,
        "device": "cpu",
    }
    return SampleSettings.model_validate({**fields, **changes})


def test_rejected_draws_are_counted_in_record_manifest_card_and_answer(flow: Path, tmp_path: Path) -> None:
    summary = sample(filtered_settings(flow), out=tmp_path)
    assert pairs.verify(tmp_path, "full") == []
    counts = [pair.metadata["rejected"] for pair in pairs.read(tmp_path)]
    manifest = pairs.Manifest.read(tmp_path / "manifest.json")
    assert summary["rejected"] == manifest.rejected == sum(counts) > 20
    assert [record.rejected for record in manifest.shards] == [sum(counts[:40]), sum(counts[40:80]), sum(counts[80:])]
    assert f"min_d = 0.2; {sum(counts)} draws were rejected" in (tmp_path / "README.md").read_text()


def test_a_filtered_shard_is_made_again_to_the_same_bytes(flow: Path, tmp_path: Path) -> None:
    sample(filtered_settings(flow), out=tmp_path)
    before = files(tmp_path)
    (tmp_path / "shards" / "shard-000001.tar").unlink()
    sample(filtered_settings(flow), out=tmp_path)
    assert files(tmp_path) == before


def test_another_encoder_is_another_plan(flow: Path, encoder: Path, tmp_path: Path) -> None:
    fields = {"n": 4, "min_d": None, "min_similarity": -1.0, "filter_encoder": tmp_path / "f"}
    (tmp_path / "f").mkdir()
    place = tmp_path / "f" / "encoder.safetensors"
    place.write_bytes((encoder / "encoder.safetensors").read_bytes())
    sample(filtered_settings(flow, **fields), out=tmp_path / "pairs")
    save_encoder(tmp_path / "f", build("digits", 1), encoders.load(encoder).config, {})
    with pytest.raises(UsageError, match=r"filter\.encoder_sha256 is"):
        sample(filtered_settings(flow, **fields), out=tmp_path / "pairs")


def test_an_encoder_of_other_images_is_refused(flow: Path, tmp_path: Path) -> None:
    config = EncoderConfig(arch="resnet18", in_channels=3, image_size=8, views="simclr", stem="small")
    save_encoder(tmp_path / "f", build("resnet18", stem="small"), config, {})
    fields = {"min_d": None, "min_similarity": 0.5, "filter_encoder": tmp_path / "f"}
    with pytest.raises(UsageError, match=r"3 channels; 'digits' .* 1\. .*--filter-encoder"):
        sample(filtered_settings(flow, **fields), out=tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"min_d": 0.4, "max_d": 0.3}, "no pair has d >= 0.4 and <= 0.3"),
        ({"min_similarity": 0.5}, "needs filter_encoder"),
        ({"min_similarity": 1.5}, "min_similarity = 1.5"),
        ({"min_d": -0.1}, "min_d = -0.1"),
        ({"attempts": 0}, "attempts = 0"),
        ({"image_format": "png", "quality": 90}, "png has no quality"),
        ({"image_format": "jpg", "quality": 101}, "quality = 101"),
        ({"image_format": "gif"}, "image_format = 'gif'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_rules_that_cannot_be_meant_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        build_settings(SampleSettings, {"generator": "digits", "n": 10, **changes}, origin="sample")
