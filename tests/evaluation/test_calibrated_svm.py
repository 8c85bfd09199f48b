"""The machine as arrays: scikit-learn's numbers, and the same again from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC

from copgen.data import digits
from copgen.evaluation.calibrated_svm import CalibratedSVM
from copgen.storage.tensors import load_tensors, save_tensors


@pytest.fixture(scope="module")
def fitted() -> tuple[CalibratedClassifierCV, np.ndarray]:
    """On a few hundred digits of all classes, and images to classify: digits, noise, and what is far from all."""
    train, test = digits.load("train"), digits.load("test")
    machine = CalibratedClassifierCV(SVC(C=10.0, gamma=0.256), ensemble=False, cv=3)
    machine.fit(train.images[:400].flatten(1).double().numpy(), train.labels[:400].numpy())
    real = test.images.flatten(1).double().numpy()
    noise = np.random.default_rng(0).uniform(-1, 1, (200, 64))
    return machine, np.concatenate((real, noise, np.full((2, 64), 50.0)))


def test_probabilities_are_those_of_scikit_learn(fitted: tuple[CalibratedClassifierCV, np.ndarray]) -> None:
    machine, images = fitted
    found, expected = CalibratedSVM.of(machine).predict_proba(images), machine.predict_proba(images)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))
    assert CalibratedSVM.of(machine).predict_proba(images[:0]).shape == (0, 10)


def test_a_file_gives_the_same_bits(fitted: tuple[CalibratedClassifierCV, np.ndarray], tmp_path: Path) -> None:
    machine, images = fitted
    own = CalibratedSVM.of(machine)
    save_tensors(tmp_path / "judge.safetensors", own.tensors(), kind="classifier", header={})
    again = CalibratedSVM.from_tensors(load_tensors(tmp_path / "judge.safetensors", kind="classifier")[0])
    np.testing.assert_array_equal(own.predict_proba(images), again.predict_proba(images))
