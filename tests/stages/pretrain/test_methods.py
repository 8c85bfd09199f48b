"""`--method`: its settings follow it through recipe, file and flags; data that it cannot learn from is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import encoders
from copgen.methods.defaults import DEFAULTS
from copgen.runtime.errors import ExitCode, UsageError
from copgen.runtime.settings import resolve
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.pretrain.stage import pretrain
from tests.stages.pretraining import pretrain_settings
from tests.stages.small import files, metrics


def resolved(**flags: Any) -> dict[str, Any]:
    return resolve(PretrainSettings, "pretrain", recipe="digits", flags=flags).tree()


@pytest.mark.parametrize("name", [*DEFAULTS])
def test_resolved_settings_are_those_of_the_method_and_no_others(name: str) -> None:
    tree = PretrainSettings(method=name, encoder="resnet50").tree()
    expected = DEFAULTS[name].model_dump(mode="json")
    others = {field for settings in DEFAULTS.values() for field in type(settings).model_fields} - expected.keys()
    assert {key: tree[key] for key in expected} == expected
    assert not others & tree.keys()


def test_a_recipes_values_are_for_its_own_method() -> None:
    assert (resolved()["temperature"], resolved()["projector"]) == (0.5, [64, 64])
    assert "temperature" not in resolved(method="byol")
    assert resolved(method="byol")["projector"] == [128, 256]  # for the 64 features of the encoder
    assert resolved(method="nnclr", temperature=0.2)["temperature"] == 0.2
    assert resolved(method="simclr")["projector"] == [64, 64]


def test_the_recipe_of_appendix_e_learns_from_classes() -> None:
    settings = resolve(PretrainSettings, "pretrain", recipe="biggan-deep-128")
    assert settings.method == "supcon"
    flags = {"method": "supcon"}
    assert settings == resolve(PretrainSettings, "pretrain", recipe="biggan-deep-128", flags=flags)
    assert resolve(PretrainSettings, "pretrain", recipe="biggan-deep-128-infonce").method == "simclr"


@pytest.mark.parametrize(
    "recipe",
    [
        "bigbigan",
        "bigbigan-algorithm1",
        "biggan-deep-128",
        "biggan-deep-128-infonce",
        "icgan-128",
        "residual-flow-mnist",
    ],
)
def test_recipes_of_the_paper_scale_the_loss_as_the_authors_code_does(recipe: str) -> None:
    """SGD's step is in proportion to it; the authors' `SupConLoss` has a base temperature of 0.07."""
    settings = resolve(PretrainSettings, "pretrain", recipe=recipe)
    assert settings.temperature is not None
    assert settings.loss_scale == pytest.approx(settings.temperature / 0.07)
    assert resolve(PretrainSettings, "pretrain", recipe=recipe, flags={"method": "byol"}).loss_scale is None


@pytest.mark.parametrize("chunk", [None, 6])
def test_the_scale_of_the_loss_is_one_of_the_rate(pretrain_pairs: Path, tmp_path: Path, chunk: int | None) -> None:
    same = {"updates": 3, "weight_decay": 0.0, "chunk": chunk}
    scaled = pretrain_settings(pretrain_pairs, lr=2**-6, loss_scale=4.0, **same)
    plain = pretrain_settings(pretrain_pairs, lr=2**-4, **same)
    for name, settings in (("scaled", scaled), ("plain", plain)):
        pretrain(settings, out=tmp_path / name)
    losses = [[line["loss"] for line in metrics(tmp_path / name)] for name in ("scaled", "plain")]
    assert losses[0] == losses[1]  # in nats, whatever the scale
    weights = [encoders.load(tmp_path / name).state_dict() for name in ("scaled", "plain")]
    assert [name for name, value in weights[0].items() if not torch.equal(value, weights[1][name])] == []


def test_settings_repeat_from_their_own_file(tmp_path: Path) -> None:
    first = PretrainSettings(method="negft", queue=100, encoder="resnet18")
    (tmp_path / "config.toml").write_text(first.to_toml())
    assert resolve(PretrainSettings, "pretrain", config=tmp_path / "config.toml") == first
    other = first.replaced(method="simclr")
    assert (other.queue, other.temperature, other.projector) == (None, 0.1, (2048, 128))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"method": "simlcr"}, "'simlcr'.*'simclr'"),
        ({"queue": 10}, "simclr has no setting 'queue'"),
        ({"method": "byol", "temperature": 0.1}, "byol has no setting 'temperature'"),
        ({"method": "nnclr", "queue": 0}, "queue = 0"),
        ({"method": "negft", "mixing": "row"}, "mixing = 'row'.*'element'"),
    ],
)
def test_what_a_method_cannot_use_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        resolve(PretrainSettings, "pretrain", flags=given)
    assert error.value.code == ExitCode.USAGE


def test_supcon_without_classes_is_refused_before_anything_is_trained(pretrain_pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"class.*--method simclr"):
        pretrain(pretrain_settings(pretrain_pairs, method="supcon"), out=tmp_path / "run")
    assert not [name for name in files(tmp_path) if "checkpoints" in name]


def test_rows_without_a_positive_are_logged(tmp_path: Path) -> None:
    settings = pretrain_settings(tmp_path, pairs=None, dataset="digits", method="supcon", updates=2, batch=8)
    pretrain(settings, out=tmp_path / "run")
    assert [line["rows_without_positive"] for line in metrics(tmp_path / "run")] == [0.0, 0.0]


def test_a_method_without_a_chance_level_has_none_in_its_summary(tmp_path: Path) -> None:
    settings = pretrain_settings(
        tmp_path, pairs=None, dataset="digits", method="byol", temperature=None, updates=2, batch=8
    )
    summary = pretrain(settings, out=tmp_path / "run")
    assert "chance" not in summary
    assert -1.0 <= summary["loss"] <= 1.0
