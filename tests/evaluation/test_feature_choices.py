"""Choices of features in one pass: what they are, heads of each as if they were alone, and the selection of one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from copgen import encoders
from copgen.encoders import EncoderConfig
from copgen.encoders.resnet import ARCHITECTURES
from copgen.evaluation.feature_choices import FeatureChoices
from copgen.evaluation.head_groups import HeadGroups
from copgen.evaluation.linear_heads import LinearHeads
from copgen.runtime.errors import UsageError
from copgen.stages.eval.linear import eval_linear
from tests.stages.eval.test_linear import CONFIG, quick

NAMES = ("avgpool", "last-2-blocks", "last-4-blocks", "grid-2x2")


@pytest.mark.parametrize(
    ("arch", "widths"),
    [("digits", (64, 96, 112, 256)), ("resnet18", (512, 1024, 1536, 2048)), ("resnet50", (2048, 4096, 7168, 8192))],
)
def test_the_widths_of_the_choices(arch: str, widths: tuple[int, ...]) -> None:
    config = EncoderConfig(arch=arch, in_channels=1, image_size=32, views="none")
    with torch.device("meta"):
        encoder = encoders.Encoder(encoders.build(arch, 1), config)
    choices = FeatureChoices(encoder, NAMES)
    found = [choices.columns(name) for name in NAMES]
    assert tuple(columns.stop - columns.start for columns in found) == widths
    assert choices.dim == widths[2] + widths[3]
    assert encoder.backbone.block_widths[-1] == ARCHITECTURES[arch].feature_dim == encoder.feature_dim


def test_they_are_averages_of_blocks() -> None:
    torch.manual_seed(0)
    encoder = encoders.Encoder(encoders.build("digits", 1), CONFIG)
    images = torch.rand(5, 1, 16, 16) * 2 - 1
    choices = FeatureChoices(encoder, ("grid-2x2", "last-4-blocks", "avgpool"))
    found = choices(images)
    assert found.shape == (5, choices.dim)
    assert torch.equal(found[:, choices.columns("avgpool")], encoder(images))
    quarters = found[:, choices.columns("grid-2x2")].view(5, 64, 4)
    torch.testing.assert_close(quarters.mean(dim=2), encoder(images))
    outputs: list[torch.Tensor] = []
    handle = encoder.backbone.get_submodule("layer1").register_forward_hook(lambda *call: outputs.append(call[2]))
    encoder(images)
    handle.remove()
    torch.testing.assert_close(found[:, 96:112], outputs[0].mean(dim=(2, 3)))


def test_heads_of_a_choice_are_what_they_are_alone() -> None:
    torch.manual_seed(0)
    features, labels = torch.randn(40, 9), torch.randint(3, (40,))
    columns = (slice(0, 4), slice(2, 9))
    both = HeadGroups([(some, LinearHeads(some.stop - some.start, 3, (0.1, 1.0))) for some in columns])
    alone = [LinearHeads(some.stop - some.start, 3, (0.1, 1.0)) for some in columns]
    for _ in range(5):
        both.step(features, labels, scale=0.5)
        for some, heads in zip(columns, alone, strict=True):
            heads.step(features[:, some], labels, scale=0.5)
    expected = [
        value for some, heads in zip(columns, alone, strict=True) for value in heads.top1(features[:, some], labels)
    ]
    assert both.top1(features, labels) == expected
    for number in range(4):
        for found, wanted in zip(both.head(number), alone[number // 2].head(number % 2), strict=True):
            assert torch.equal(found, wanted)
    again = HeadGroups([(some, LinearHeads(some.stop - some.start, 3, (0.1, 1.0))) for some in columns])
    again.load(both.state())
    assert again.top1(features, labels) == expected


def test_validation_selects_the_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoders.save_encoder(tmp_path, encoders.build("digits", 1), CONFIG, {})
    rates = {"lr_grid": (0.06, 0.2), "epochs": 3}
    result = eval_linear(quick(tmp_path, features=("avgpool", "grid-2x2"), **rates), out=tmp_path / "both")
    probe = result["linear"]
    assert (result["probe"], probe["features_grid"]) == ("sgd", ["avgpool", "grid-2x2"])
    assert len(probe["validation_top1"][0]) == 4
    column = 2 * probe["features_grid"].index(probe["features"]) + probe["lr_grid"].index(probe["lr"])
    assert probe["validation_top1"][probe["epoch"] - 1][column] == max(map(max, probe["validation_top1"]))
    alone = eval_linear(quick(tmp_path, probe="sgd", features=(probe["features"],), **rates), out=tmp_path / "one")
    assert alone["top1"] == pytest.approx(result["top1"], abs=2 / 368)
    with pytest.raises(UsageError, match="--features grid-2x2"):
        eval_linear(quick(tmp_path, probe="lbfgs", features=("grid-2x2",)))
