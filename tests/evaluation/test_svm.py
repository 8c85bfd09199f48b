"""The linear machines: against LIBLINEAR's dual solver, and against the minimum of their objective in float64."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize  # type: ignore[import-untyped]
from sklearn.svm import LinearSVC

from copgen.evaluation.logistic import Labelled
from copgen.evaluation.svm import fit, of_length_one, support_vector_machine, svm_probe


def drawn(count: int, classes: int, seed: int, *, noise: float = 1.0) -> Labelled:
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, 6))
    labels = np.arange(count) % classes
    return Labelled(3.0 * (centres[labels] + noise * draw.normal(size=(count, 6))), labels)


def test_the_machine_is_the_minimum_of_its_objective() -> None:
    data = drawn(60, 2, 0)
    x, y = np.c_[of_length_one(data.features), np.ones(60)], 2.0 * data.labels - 1
    weight = np.where(y > 0, 2.0, 1.0)

    def objective(w: np.ndarray) -> float:
        return float(w @ w / 2 + 10.0 * (weight * np.maximum(0, 1 - y * (x @ w)) ** 2).sum())

    best = minimize(objective, np.zeros(7), tol=1e-14)
    machine = support_vector_machine(10.0, max_iterations=5000, weights={1: 2.0, -1: 1.0})
    machine.set_params(tol=1e-10).fit(x[:, :-1], y)
    assert np.r_[machine.coef_[0], machine.intercept_] == pytest.approx(best.x, abs=1e-4)


@pytest.mark.parametrize("c", [1e-3, 1.0, 100.0])
def test_several_classes_decide_as_the_dual_solver_does(c: float) -> None:
    data, test = drawn(90, 3, 1), drawn(200, 3, 2)
    unit = Labelled(of_length_one(data.features), data.labels)
    machine, converged = fit(unit, c, max_iterations=5000)
    dual = LinearSVC(C=c, dual=True, tol=1e-8, max_iter=200_000, random_state=0).fit(unit.features, unit.labels)
    scores = machine.decision_function(of_length_one(test.features))
    assert converged
    assert scores == pytest.approx(dual.decision_function(of_length_one(test.features)), abs=2e-3)


def test_the_cost_is_chosen_on_validation_and_the_machine_refitted() -> None:
    train, validation, test = drawn(60, 4, 3, noise=1.5), drawn(40, 4, 4, noise=1.5), drawn(100, 4, 5, noise=1.5)
    probe, ranked = svm_probe(train, validation, test, costs=(10.0, 1e-6, 0.1), max_iterations=5000)
    grid = (1e-6, 0.1, 10.0)
    assert grid[int(np.argmax(probe.validation_top1))] == probe.C
    both = train + validation
    again = LinearSVC(C=probe.C, dual=False).fit(of_length_one(both.features), both.labels)
    assert probe.top1 == float((again.predict(of_length_one(test.features)) == test.labels).mean())
    assert (ranked[:, 0] == again.predict(of_length_one(test.features))).all()
    assert (np.sort(ranked, axis=1) == np.arange(4)).all()


def test_features_of_any_scale_give_the_same_machine() -> None:
    data = drawn(30, 2, 6)
    far = of_length_one(1000.0 * data.features)
    assert of_length_one(data.features) == pytest.approx(far, rel=1e-4)
    assert np.linalg.norm(far, axis=1) == pytest.approx(np.ones(30), rel=1e-6)
    assert (of_length_one(np.zeros((2, 3))) == 0).all()
