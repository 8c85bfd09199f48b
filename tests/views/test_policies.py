"""The policies: the paper's numbers, and refusals that say what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from copgen.runtime.errors import UsageError
from copgen.views import names, policy
from copgen.views.policies import AffinePolicy, CropPolicy, JitterPolicy, Normalisation, Policy


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
    with pytest.raises(UsageError, match=r"no view policy 'simclrr'.*Did you mean 'simclr'"):
        policy("simclrr")


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
        (Normalisation, "mean", (0.5,)),
        (Normalisation, "std", (0.2, 0.0, 0.2)),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused(model: type[BaseModel], field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        model.model_validate({field: value})


@pytest.mark.parametrize("model", [AffinePolicy, CropPolicy, JitterPolicy, Normalisation, Policy])
def test_every_number_is_described(model: type[BaseModel]) -> None:
    assert all(field.description for field in model.model_fields.values())
