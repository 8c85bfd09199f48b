"""The methods' settings: every value has a source, widths fit the backbone, and wrong ones are refused."""

from __future__ import annotations

import pytest

from copgen.encoders.resnet import ResNet
from copgen.methods.defaults import DEFAULTS, MethodSettings, settings_of
from copgen.methods.registry import build
from copgen.runtime.declaration import declaration
from copgen.runtime.errors import UsageError
from tests.methods.small import TINY


@pytest.mark.parametrize("name", [*DEFAULTS])
def test_every_value_has_a_text_and_a_source(name: str) -> None:
    for field in type(DEFAULTS[name]).model_fields.values():
        declared = declaration(field)
        assert declared is not None
        assert declared.text
        assert declared.source


@pytest.mark.parametrize(
    ("name", "features", "widths"),
    [
        ("simclr", 512, {"projector": (2048, 128)}),
        ("byol", 2048, {"projector": (4096, 256), "predictor": 4096}),
        ("byol", 512, {"projector": (1024, 256), "predictor": 1024}),  # lightly's example of a ResNet-18
        ("nnclr", 2048, {"projector": (2048, 2048, 256), "predictor": 4096}),
        ("nnclr", 512, {"projector": (512, 512, 256), "predictor": 1024}),
        ("negft", 512, {"projector": (512, 128)}),
    ],
)
def test_hidden_widths_fit_the_backbone(name: str, features: int, widths: dict[str, object]) -> None:
    settings = settings_of(name, {}, features=features)
    assert {key: getattr(settings, key) for key in widths} == widths


def test_given_values_are_kept_and_the_others_scaled() -> None:
    settings = settings_of("byol", {"predictor": 4096, "momentum": None}, features=512)
    assert settings.model_dump() == {
        "projector": (1024, 256),
        "predictor": 4096,
        "momentum": 0.99,
        "momentum_schedule": "constant",
    }


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("simlcr", {}, "'simlcr'.*'simclr'"),
        ("simclr", {"momentum": 0.9}, "simclr has no setting 'momentum'.*temperature"),
        ("byol", {"temperature": 0.1}, "byol has no setting 'temperature'.*momentum"),
        ("nnclr", {"projector": (64, 64)}, "nnclr has 3 widths"),
        ("nnclr", {"queue": 0}, "queue"),
    ],
)
def test_what_a_method_does_not_have_is_refused(name: str, given: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        settings_of(name, given)


def test_settings_that_no_method_is_built_from_are_refused() -> None:
    class Unregistered(MethodSettings):
        pass

    with pytest.raises(NotImplementedError, match="Unregistered"):
        build(Unregistered(), ResNet(TINY, in_channels=1), seed=0, updates=1)
