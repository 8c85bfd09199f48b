"""Table 9 in every setting: its rows resolve, and variants share what they have in common."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import generators
from copgen.runtime import philox
from copgen.runtime.settings import resolve
from copgen.stages.generator.gan.settings import STAGE, FitGanSettings
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.sample.settings import SampleSettings
from experiments import cifar10, classifier, mnist, mnist_encoders, mnist_flow, rows, table9
from experiments.mnist_setting import MNIST
from experiments.setting import Setting

SETTINGS = (MNIST, *mnist_encoders.VARIANTS, mnist_flow.FLOW, cifar10.CIFAR10, cifar10.WITHOUT_VIEWS)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.results)
def test_every_row_resolves(setting: Setting) -> None:
    navigate = {**setting.generator, **setting.navigate, **table9.until(0.05)}
    found = resolve(NavigateSettings, "navigate", recipe=setting.recipe, flags=navigate)
    assert (found.stop, found.views) == ("delta", setting.navigate["views"])
    sample: dict[str, Any] = {**setting.generator, "transform": "gaussian", "std": 0.4, "n": setting.pairs}
    assert resolve(SampleSettings, "sample", recipe=setting.recipe, flags=sample).n == setting.pairs
    pretrain = {**setting.pretrain, "dataset": setting.dataset}
    trained = resolve(PretrainSettings, "pretrain", recipe=setting.recipe, flags=pretrain)
    assert {name: getattr(trained, name) for name in setting.pretrain} == setting.pretrain
    assert pickle.loads(pickle.dumps(setting)) == setting  # sent to the processes of `run_all`


def test_variants_share_pairs_and_nothing_else() -> None:
    assert {setting.runs for setting in (MNIST, *mnist_encoders.VARIANTS)} == {Path("runs/experiment-mnist")}
    assert len({setting.of_variant("pretrain") for setting in (MNIST, *mnist_encoders.VARIANTS)}) == 3
    assert len({setting.results for setting in SETTINGS}) == len(SETTINGS)


def test_the_flow_is_fitted_where_it_is_loaded_from(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Any, Path]] = []
    monkeypatch.setattr("copgen.stages.generator.fit_residual_flow", lambda settings, out: made.append((settings, out)))
    mnist_flow.fit()
    ((settings, out),) = made
    assert (settings.dataset, settings.network.linear_blocks) == ("mnist", 28)
    assert mnist_flow.FLOW.generator["weights"] == out / "generator.safetensors"
    assert out.parent == mnist_flow.FLOW.runs


@pytest.mark.parametrize("setting", [MNIST, cifar10.CIFAR10], ids=lambda setting: setting.name)
def test_the_weights_of_a_gan_are_those_of_its_recipe(setting: Setting) -> None:
    made_by = generators.load(setting.generator["generator"], weights=setting.generator["weights"]).made_by
    wanted = resolve(FitGanSettings, STAGE, recipe=setting.recipe, flags={"dataset": setting.dataset})
    assert {**made_by["settings"], "device": wanted.device} == wanted.tree()


@pytest.mark.parametrize("module", [mnist, mnist_flow, cifar10], ids=lambda module: module.__name__)
def test_labels_are_those_of_the_classifier_that_was_trained(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    judged: list[Path] = []
    monkeypatch.setattr("copgen.pretrain", lambda settings, out: made.append(out))
    monkeypatch.setattr(module, "fit", lambda: None, raising=False)
    monkeypatch.setattr(module, "table9", lambda setting, *_, **__: judged.append(classifier.encoder_of(setting)))
    module.main()
    assert made == list(dict.fromkeys(judged))
    assert len(made) == 1


def test_the_classifier_is_fitted_on_images_of_all_classes() -> None:
    in_order = torch.arange(10).repeat_interleave(4500)  # the tars of CIFAR-10
    assert in_order[classifier.rows_of(in_order)].bincount().tolist() == [1000] * 10
    mixed = in_order[philox.permutation(0, len(in_order), stream="test")]
    assert classifier.rows_of(mixed).tolist() == list(range(classifier.FITTED_ON))
    assert classifier.rows_of(mixed[:50]).tolist() == list(range(50))


def test_both_kinds_of_positives_have_as_many_candidates() -> None:
    assert len(table9.GAUSSIAN_STDS) == len(table9.candidates()) == len(table9.candidates("centred, ", center=True))
    assert not {row.name for row in table9.candidates()} & {row.name for row in table9.candidates("centred, ")}
    assert not set(table9.SEEDS) & set(rows.CHOICE_SEEDS)
