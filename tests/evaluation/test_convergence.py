"""Whether a fit converged is read from the fit itself, so that fits on other threads cannot change the answer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.exceptions import ConvergenceWarning

from copgen.evaluation.logistic import Labelled, converging, logistic_regression, one_thread
from copgen.evaluation.multi_label import class_probe
from copgen.evaluation.svm import support_vector_machine
from copgen.runtime.settings import Settings
from copgen.stages.eval.settings.few_shot import EvalFewShotSettings
from copgen.stages.eval.settings.finetune import EvalFinetuneSettings
from copgen.stages.eval.settings.linear import EvalLinearSettings
from copgen.stages.eval.settings.transfer import EvalTransferSettings

DATA = Labelled(np.random.default_rng(0).normal(size=(60, 8)), np.where(np.arange(60) % 3, -1, 1))
Model = Callable[[int], Any]


def regression(most: int) -> Any:
    return logistic_regression(10.0, max_iterations=most)


def machine(most: int) -> Any:
    return support_vector_machine(10.0, max_iterations=most)


class Told:
    """A model that warns, or does not, whatever its iterations say."""

    def __init__(self, iterations: int, *, warns: bool) -> None:
        self.n_iter_, self.max_iter, self.warns = np.array([iterations]), 10, warns

    def fit(self, features: np.ndarray, labels: np.ndarray) -> None:
        if self.warns:
            warnings.warn("of a fit on another thread", ConvergenceWarning, stacklevel=2)


@pytest.mark.parametrize("model", [regression, machine])
def test_a_fit_that_takes_all_of_its_iterations_has_not_converged(model: Model) -> None:
    whole, fine = converging(model(1000), DATA)
    needed = int(np.max(whole.n_iter_))
    assert fine
    with one_thread():
        assert not converging(model(needed), DATA)[1]
        assert not converging(model(1), DATA)[1]
    assert converging(model(needed + 1), DATA)[1]


@pytest.mark.parametrize(
    "settings", [EvalLinearSettings, EvalFewShotSettings, EvalFinetuneSettings, EvalTransferSettings]
)
def test_settings_allow_fewer_iterations_than_scipy_takes(settings: type[Settings]) -> None:
    """Of more, a fit would say that it converged where SciPy ended it after 15,000 evaluations of the loss."""
    most = 10_000
    assert settings.model_validate({"max_iterations": most})
    with pytest.raises(ValidationError, match="max_iterations"):
        settings.model_validate({"max_iterations": most + 1})


def test_a_fit_of_most_iterations_that_needs_more_has_not_converged() -> None:
    random = np.random.default_rng(0)
    alike = 1.0 / (1.0 + np.add.outer(np.arange(30), np.arange(30)))  # Hilbert's matrix, nearly singular
    data = Labelled(1e3 * random.normal(size=(100, 30)) @ alike, random.integers(0, 3, 100))
    with one_thread():
        assert not converging(logistic_regression(1e8, max_iterations=10_000), data)[1]


def test_warnings_do_not_decide() -> None:
    assert not converging(Told(10, warns=False), DATA)[1]  # another thread has taken its warning
    with pytest.warns(ConvergenceWarning):
        assert converging(Told(9, warns=True), DATA)[1]


@pytest.mark.parametrize("probe", ["linear", "svm"])
def test_classes_on_several_threads_know_their_own_convergence(probe: Any) -> None:
    def of_class(number: int) -> bool:
        most = 1 if number % 2 else 1000
        found = class_probe(DATA, DATA, name="cat", probe=probe, costs=(10.0,), folds=3, max_iterations=most)
        return found.converged

    with one_thread(), ThreadPoolExecutor(4) as threads:
        assert list(threads.map(of_class, range(16))) == [True, False] * 8


def test_a_line_search_that_failed_is_still_told() -> None:
    with one_thread(), pytest.warns(ConvergenceWarning, match="ABNORMAL"):
        warnings.warn(
            "lbfgs failed to converge after 3 iteration(s) (status=2):\nABNORMAL", ConvergenceWarning, stacklevel=1
        )
