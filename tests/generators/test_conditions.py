"""Conditions: classes and instances by index, or as vectors; what is out of range is refused by value."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from copgen import generators
from copgen.generators.protocol import Generator
from copgen.runtime.errors import ExitCode, UsageError
from tests.generators import narrow


@pytest.fixture(scope="module")
def G(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    folder = tmp_path_factory.mktemp("deep")
    return generators.load("biggan-deep-128", weights=narrow.published("biggan-deep-128", folder))


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return generators.load("icgan-128", weights=narrow.published("icgan-128", tmp_path_factory.mktemp("icgan")))


def test_a_class_is_the_weights_that_are_one_there(G: Generator) -> None:
    z, classes = G.sample_prior(range(2), 0), torch.tensor([3, 9])
    weights = nn.functional.one_hot(classes, narrow.CLASSES).float()
    assert torch.allclose(G(z, classes), G(z, weights), atol=1e-5)
    assert not torch.allclose(G(z, classes), G(z, weights.roll(1, 1)), atol=1e-3)
    assert G.describe_condition(classes) == [{"class": 3}, {"class": 9}]
    assert G.describe_condition(weights)[0]["class_weights"][3] == 1.0


def test_an_instance_is_its_features(instances: Generator) -> None:
    z, rows = instances.sample_prior(range(2), 0), torch.tensor([0, 6])
    features = narrow.unit_rows(narrow.INSTANCES)[rows]
    assert torch.allclose(instances(z, rows), instances(z, features), atol=1e-5)
    assert instances.describe_condition(rows) == [{"instance": 0}, {"instance": 6}]
    features = features.requires_grad_()
    instances(z, features).sum().backward()
    assert features.grad is not None


CLASSES: list[tuple[Tensor | None, str]] = [
    (torch.tensor([0, 10]), "no class 10 in 'biggan-deep-128'; it has 0 to 9"),
    (torch.tensor([-1, 0]), "no class -1 in 'biggan-deep-128'"),
    (None, r"needs a condition: class indices \(N,\) or class weights \(N, 10\)"),
    (torch.zeros(2, 11), r"class weights \(N, 10\), not \(2, 11\)"),
    (torch.zeros(2, 10, dtype=torch.int64), "class indices"),
]
OF_INSTANCES: list[tuple[Tensor | None, str]] = [
    (torch.tensor([0, 7]), "instance 7 .*'icgan-128'.* 6"),
    (torch.tensor([-3, 0]), "instance -3"),
    (None, "'icgan-128'.* condition: instance"),
    (torch.zeros(2, 23), r"features \(N, 24\).*\(2, 23\)"),
    (2.0 * narrow.unit_rows(2), "'icgan-128'.* length 1.* 2"),
]


@pytest.mark.parametrize(("condition", "says"), CLASSES)
def test_a_class_that_is_not_there_is_refused(condition: Tensor | None, says: str, G: Generator) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        G(G.sample_prior(range(2), 0), condition)
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize(("condition", "says"), OF_INSTANCES)
def test_an_instance_that_is_not_there_is_refused(condition: Tensor | None, says: str, instances: Generator) -> None:
    with pytest.raises(UsageError, match=says):
        instances(instances.sample_prior(range(2), 0), condition)


@pytest.mark.parametrize("name", ["bigbigan", "residual-flow-mnist"])
def test_an_unconditional_generator_refuses_a_condition(name: str, tmp_path: Path) -> None:
    unconditional = generators.load(name, weights=narrow.published(name, tmp_path))
    with pytest.raises(UsageError, match=rf"'{name}'.* condition"):
        unconditional(unconditional.sample_prior(range(2), 0), torch.tensor([0, 1]))


def test_without_stored_instances_features_are_taken_and_indices_refused(tmp_path: Path) -> None:
    bare = generators.load("icgan-128", weights=narrow.icgan_128(tmp_path))
    z = bare.sample_prior(range(2), 0)
    assert bare(z, narrow.unit_rows(2)).shape == (2, 3, 128, 128)
    with pytest.raises(UsageError, match=r"'icgan-128'.*instances=FILE"):
        bare(z, torch.tensor([0, 1]))
    with pytest.raises(UsageError, match=r"'icgan-128'.*--instances"):
        bare.sample_condition(range(2), 0)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file = narrow.stored_instances(elsewhere, narrow.unit_rows(5))
    given = generators.load("icgan-128", weights=narrow.icgan_128(tmp_path), instances=file)
    assert given(z, torch.tensor([0, 4])).shape == (2, 3, 128, 128)
    assert given.settings["instances_sha256"] != bare.settings["instances_sha256"]


def test_stored_features_that_are_not_of_length_one_are_made_so(tmp_path: Path) -> None:
    plain, scaled = tmp_path / "plain", tmp_path / "scaled"
    for folder, factor in ((plain, 1.0), (scaled, 2.0)):
        folder.mkdir()
        narrow.stored_instances(folder, factor * narrow.unit_rows(narrow.INSTANCES))
    found = [generators.load("icgan-128", weights=narrow.icgan_128(folder)) for folder in (plain, scaled)]
    z, rows = found[0].sample_prior(range(2), 0), torch.tensor([1, 2])
    assert torch.allclose(found[0](z, rows), found[1](z, rows), atol=1e-5)
