"""The policies: the paper's values, and errors that say what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from copgen.runtime.errors import UsageError
from copgen.views import names, policy
from copgen.views.policies import (
    AffinePolicy,
    BlurPolicy,
    CropPolicy,
    JitterPolicy,
    Normalisation,
    Policy,
    RandAugmentPolicy,
)


def test_the_digits_policy_is_that_of_appendix_d() -> None:
    numbers = policy("mnist")
    assert numbers.affine == AffinePolicy(degrees=10, translate=0.1, scale=(0.9, 1.1), fill=0)
    assert numbers == Policy(name="mnist", affine=numbers.affine)


def test_the_simclr_policy_is_that_of_the_authors_code() -> None:
    numbers = policy("simclr")
    assert numbers.crop == CropPolicy(area=(0.2, 1), aspect=(3 / 4, 4 / 3))
    assert numbers.jitter == JitterPolicy(probability=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    assert (numbers.flip, numbers.grayscale, numbers.affine, numbers.size) == (0.5, 0.2, None, None)
    assert numbers.normalise == Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.mark.parametrize("name", names())
def test_a_policy_knows_its_name_and_survives_json(name: str) -> None:
    assert policy(name).name == name
    assert Policy.model_validate_json(policy(name).model_dump_json()) == policy(name)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'simclrr'.* 'simclr'"):
        policy("simclrr")


def test_the_authors_navigator_had_no_antialiasing() -> None:
    changed = {"name": "simclr-authors", "antialias": False}
    assert policy("simclr-authors") == policy("simclr").model_copy(update=changed)


def test_the_blur_is_that_of_simclr() -> None:
    assert policy("simclr-blur").blur == BlurPolicy(probability=0.5, sigma=(0.1, 2.0), kernel=0.1)
    assert policy("simclr").blur is None


def test_infomin_is_recipe_d_of_pycontrast() -> None:
    numbers = policy("infomin")
    assert numbers.jitter == JitterPolicy(probability=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
    assert numbers.rand_augment == RandAugmentPolicy(layers=2, magnitude=10, noise=0.5, probability=0.5)
    assert (numbers.crop, numbers.flip, numbers.blur, numbers.grayscale) == (CropPolicy(), 0.5, BlurPolicy(), 0.2)
    assert not numbers.differentiable


def test_the_ablations_are_those_of_the_authors_pretraining() -> None:
    simclr = policy("simclr").model_dump(exclude={"name"})
    no_crop = simclr | {"crop": None, "centre": 112 / 128}
    assert policy("simclr-no-crop").model_dump(exclude={"name"}) == no_crop
    no_colour = simclr | {"jitter": None, "grayscale": 0}
    assert policy("simclr-no-colour").model_dump(exclude={"name"}) == no_colour
    assert policy("centre").model_dump(exclude={"name"}) == no_crop | no_colour | {
        "crop": None,
        "centre": 112 / 128,
        "flip": 0,
    }


def test_numbers_can_be_changed_parts_added_and_taken_away() -> None:
    changed = policy("simclr", flip=0, jitter={"hue": 0.2}, blur={}, crop=None)
    assert changed.jitter == JitterPolicy(hue=0.2)
    assert (changed.flip, changed.crop, changed.blur) == (0, None, BlurPolicy())
    assert changed.normalise == policy("simclr").normalise


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"flip": 2}, "simclr.*flip = 2 "),
        ({"flipp": 0.5}, "'flipp'.* 'flip'"),
        ({"jitter": {"hue": 3}}, "jitter.hue = 3 "),
        ({"blur": {"sigma": (2, 1)}}, r"blur.sigma.*\(2.0, 1.0\)"),
        ({"crop": {"area": (0.5, 2)}}, "crop.*area.* 2.0 "),
        ({"size": 0}, "size = 0 "),
        ({"centre": 0.5}, "'crop' and 'centre'"),
        ({"rand_augment": {"magnitude": 11}}, "rand_augment.magnitude = 11 "),
    ],
)
def test_an_invalid_change_is_a_usage_error(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        policy("simclr", **changes)


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (AffinePolicy, "degrees", -1),
        (AffinePolicy, "degrees", float("nan")),
        (AffinePolicy, "translate", 1.5),
        (AffinePolicy, "scale", (1.1, 0.9)),
        (AffinePolicy, "scale", (0.0, 1.0)),
        (AffinePolicy, "shear", 1),
        (CropPolicy, "area", (0.2, 1.1)),
        (CropPolicy, "aspect", (2.0, 1.0)),
        (JitterPolicy, "probability", 1.1),
        (JitterPolicy, "brightness", 1.1),
        (JitterPolicy, "hue", 0.6),
        (BlurPolicy, "sigma", (0.0, 1.0)),
        (BlurPolicy, "kernel", 1.5),
        (Normalisation, "mean", (0.5,)),
        (Normalisation, "std", (0.2, 0.0, 0.2)),
    ],
)
def test_an_invalid_value_is_refused(model: type[BaseModel], field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        model.model_validate({field: value})


@pytest.mark.parametrize(
    "model", [AffinePolicy, BlurPolicy, CropPolicy, JitterPolicy, Normalisation, Policy, RandAugmentPolicy]
)
def test_every_number_is_described(model: type[BaseModel]) -> None:
    assert all(field.description for field in model.model_fields.values())
