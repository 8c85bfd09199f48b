"""The quality metrics of a digits generator, with a classifier and a generator whose outputs are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from copgen import generators
from copgen.data import digits
from copgen.evaluation import generated_digits as stage
from copgen.evaluation.digits_classifier import DigitsClassifier
from copgen.latents.prior import Prior


class Threshold:
    """A classifier that predicts 1 if the first pixel is above 0.5, with probability 1 if it is above 0.75."""

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        first = features[:, 0]
        probabilities = np.zeros((len(first), 10))
        probabilities[:, 1] = np.where(first > 0.75, 1.0, np.where(first > 0.5, 0.6, 0.05))
        probabilities[:, 0] = 1.0 - probabilities[:, 1]
        return probabilities


@dataclass
class Linear:
    """A generator whose first pixel is z_0 / 4, in [-1, 1]; it records the latents it is called with."""

    scale: float
    error: float = 0.0

    def __post_init__(self) -> None:
        self.latent_dim = 64
        self.prior = Prior(scale=self.scale)
        self.given: list[Tensor] = []

    def sample_prior(self, indices: range, seed: int) -> Tensor:
        return self.prior.draw(indices, dim=64, seed=seed)

    def encode(self, images: Tensor) -> Tensor:
        return 4.0 * images.flatten(1) + 4.0 * self.error

    def __call__(self, z: Tensor) -> Tensor:
        self.given.append(z)
        return (z / 4.0).view(-1, 1, 8, 8)


@pytest.fixture(autouse=True)
def _known_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    machine: Any = Threshold()
    monkeypatch.setattr(stage, "fit_digits_classifier", lambda: DigitsClassifier(machine))
    monkeypatch.setattr(stage, "SAMPLES", 2000)


def assess(G: Any, **settings: int) -> dict[str, float]:
    return stage.assess_digits(G, **settings)


def test_shares_are_counted_as_the_judge_sees_them() -> None:
    G = Linear(scale=2.0)
    found = assess(G)
    z = Prior(scale=2.0).draw(range(2000), dim=64, seed=0)
    first = (z[:, 0] / 4 + 1) / 2
    assert found["confident_share"] == pytest.approx(float(((first > 0.75) | (first <= 0.5)).double().mean()))
    real = digits.load("test")
    brightness = (real.images[:, 0, 0, 0] + 1) / 2
    assert found["confident_share_real"] == pytest.approx(float((brightness <= 0.5).double().mean()))
    assert found["classifier_accuracy"] == pytest.approx(float((real.labels == 0).double().mean()))


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_step_is_a_tenth_in_latent_units_and_a_tenth_of_the_prior(scale: float) -> None:
    G = Linear(scale=scale)
    found = assess(G)
    z = Prior(scale=scale).draw(range(2000), dim=64, seed=0)
    moved = [given for given in G.given if given.shape == z.shape and not torch.equal(given, z)]
    rms = sorted({round(float((given - z).square().mean().sqrt()), 3) for given in moved})
    assert rms == pytest.approx(sorted({0.1, 0.1 * scale}), abs=0.002)
    flipped = [float(((given[:, 0] > 0) != (z[:, 0] > 0)).double().mean()) for given in moved]
    assert found["kept_share"] == pytest.approx(1.0 - min(flipped))
    assert 0.9 < found["kept_share"] < 1.0


@pytest.mark.parametrize("error", [0.0, 0.25])
def test_the_inversion_error_is_the_largest_in_pixels(error: float) -> None:
    assert assess(Linear(scale=1.0, error=error))["inversion_error"] == pytest.approx(error, abs=1e-6)


def test_another_seed_draws_other_samples() -> None:
    assert assess(Linear(scale=1.0)) == assess(Linear(scale=1.0))
    assert assess(Linear(scale=1.0))["kept_share"] != assess(Linear(scale=1.0), seed=1)["kept_share"]


def test_a_flow_inverts_its_images(flow: Path) -> None:
    found = assess(generators.load("digits", weights=flow))
    assert found["inversion_error"] < 1e-4
    assert all(0 <= share <= 1 for share in found.values())
