"""Table 9 in every setting: its rows resolve, and variants share what they have in common."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from copgen.runtime.settings import resolve
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.sample.settings import SampleSettings
from experiments import cifar10, classifier, fitted, mnist, mnist_encoders, mnist_flow, rows, table9
from experiments.mnist_setting import MNIST
from experiments.setting import Setting

SETTINGS = (MNIST, *mnist_encoders.VARIANTS, mnist_flow.FLOW, cifar10.CIFAR10)


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


def test_generators_are_fitted_where_they_are_loaded_from(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, tuple[Any, Path]] = {}
    monkeypatch.setattr("copgen.stages.generator.fit_gan", lambda settings, out: made.update(gan=(settings, out)))
    monkeypatch.setattr(
        "copgen.stages.generator.fit_residual_flow", lambda settings, out: made.update(flow=(settings, out))
    )
    for setting in (cifar10.CIFAR10, mnist_flow.FLOW):
        fitted.fit(setting)
    assert (made["gan"][0].dataset, made["gan"][0].mirror) == ("cifar10", True)
    assert (made["flow"][0].dataset, made["flow"][0].network.linear_blocks) == ("mnist", 28)
    for setting, (_, out) in zip((cifar10.CIFAR10, mnist_flow.FLOW), made.values(), strict=True):
        assert setting.generator["weights"] == out / "generator.safetensors"
        assert out.parent == setting.runs


@pytest.mark.parametrize("module", [mnist, mnist_flow, cifar10], ids=lambda module: module.__name__)
def test_labels_are_those_of_the_classifier_that_was_trained(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    judged: list[Path] = []
    monkeypatch.setattr("copgen.pretrain", lambda settings, out: made.append(out))
    monkeypatch.setattr(module, "fit", lambda setting: None, raising=False)
    monkeypatch.setattr(module, "table9", lambda setting, *_, **__: judged.append(classifier.encoder_of(setting)))
    module.main()
    assert made == judged
    assert len(made) == 1


def test_both_kinds_of_positives_have_as_many_candidates() -> None:
    assert len(table9.GAUSSIAN_STDS) == len(table9.candidates()) == len(table9.candidates("centred, ", center=True))
    assert not {row.name for row in table9.candidates()} & {row.name for row in table9.candidates("centred, ")}
    assert not set(table9.SEEDS) & set(rows.CHOICE_SEEDS)
