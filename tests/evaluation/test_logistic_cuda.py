"""The solver for GPUs, on the CPU: the minimum and the predictions of scikit-learn's, and whether it converged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from copgen.evaluation import logistic, logistic_cuda
from copgen.evaluation.logistic import TOLERANCE, Labelled, one_thread
from copgen.evaluation.logistic_cuda import fit_on, solver
from copgen.evaluation.probes import few_label_probe, ranked_probe

CPU = torch.device("cpu")
IMAGES, DIMS, LABELS = 240, 24, np.array([-3, 0, 4, 9, 11])  # neither contiguous nor from 0


def labelled(seed: int, *, images: int = IMAGES) -> Labelled:
    """Overlapping classes: no strength C makes them separable."""
    truth = np.random.default_rng(99).normal(size=(len(LABELS), DIMS))
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(images, DIMS))
    noisy = features @ truth.T / 4.0 + rng.gumbel(size=(images, len(LABELS)))
    return Labelled(features, LABELS[noisy.argmax(axis=1)])


def objective(data: Labelled, weight: np.ndarray, bias: np.ndarray, c: float) -> tuple[float, float]:
    """The value that both minimise, written out in NumPy, and the largest entry of its gradient."""
    logits = data.features @ weight.T + bias
    logits -= logits.max(axis=1, keepdims=True)
    likely = np.exp(logits)
    likely /= likely.sum(axis=1, keepdims=True)
    truth = data.labels[:, None] == LABELS
    value = -np.log(likely[truth]).mean() + (weight**2).sum() / (2.0 * c * len(data))
    wrong = (likely - truth) / len(data)
    slopes = wrong.T @ data.features + weight / (c * len(data)), wrong.sum(axis=0)
    return float(value), max(float(np.abs(one).max()) for one in slopes)


@pytest.mark.parametrize("rows", [logistic_cuda.ROWS, 77])
@pytest.mark.parametrize("c", [1e-4, 1e-2, 1.0, 1e2])
def test_it_finds_the_minimum_that_scikit_learn_finds(c: float, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic_cuda, "ROWS", rows)
    data, new = labelled(0), labelled(1)
    model, fine = fit_on(data, c, max_iterations=5000, device=CPU)
    with one_thread():
        other, _ = logistic.fit(data, c, max_iterations=5000)
    value, slope = objective(data, model.weight.numpy(), model.bias.numpy(), c)
    expected, _ = objective(data, other.coef_, other.intercept_, c)
    assert fine
    assert slope <= TOLERANCE
    assert value == pytest.approx(expected, rel=1e-6)
    margins = np.sort(other.decision_function(new.features), axis=1)
    clear = margins[:, -1] - margins[:, -2] > 0.01 * np.ptp(margins)  # both are exact to rounding and to TOLERANCE only
    assert clear.mean() > 0.9
    assert np.array_equal(model.predict(new.features)[clear], other.predict(new.features)[clear])
    assert model.decision_function(new.features) == pytest.approx(
        new.features @ model.weight.numpy().T + model.bias.numpy()
    )


def test_a_fit_that_takes_all_of_its_iterations_has_not_converged() -> None:
    data = labelled(0)
    assert not fit_on(data, 1.0, max_iterations=2, device=CPU)[1]
    assert fit_on(data, 1.0, max_iterations=1000, device=CPU)[1]


@torch.no_grad()
def test_it_fits_where_gradients_are_off() -> None:  # as in the monitor of pretraining
    assert fit_on(labelled(0), 1.0, max_iterations=1000, device=CPU)[1]


def test_probes_take_the_solver() -> None:
    taken: list[float] = []

    def counted(data: Labelled, c: float, *, max_iterations: int) -> tuple[Any, bool]:
        taken.append(c)
        return fit_on(data, c, max_iterations=max_iterations, device=CPU)

    train, validation, test = labelled(0), labelled(1), labelled(2)
    grid = (0.01, 1.0)
    with one_thread():
        probe, ranked = ranked_probe(train, validation, test, c_grid=grid, fit=counted)
        expected, order = ranked_probe(train, validation, test, c_grid=grid)
    assert taken == [*grid, probe.C]
    assert probe.C == expected.C
    assert probe.top1 == pytest.approx(expected.top1, abs=0.01)
    assert (ranked[:, 0] == order[:, 0]).mean() > 0.98
    taken.clear()
    few_label_probe(train, validation, test, percent=50, draws=2, seed=0, c_grid=grid, fit=counted)
    assert taken == [*grid, *grid]


def test_only_large_problems_of_several_classes_go_to_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert solver(CPU) is logistic.fit
    went: list[torch.device] = []

    def on_device(data: Labelled, c: float, *, max_iterations: int, device: torch.device) -> tuple[str, bool]:
        went.append(device)
        return "fitted", True

    monkeypatch.setattr(logistic_cuda, "fit_on", on_device)
    cuda, data = torch.device("cuda", 1), labelled(0)
    solver(cuda)(data, 1.0, max_iterations=100)
    assert went == []
    monkeypatch.setattr(logistic_cuda, "LARGE", IMAGES * DIMS * len(LABELS))
    assert solver(cuda)(data, 1.0, max_iterations=100) == ("fitted", True)
    assert went == [cuda]
    two = Labelled(data.features, np.where(data.labels > 0, 1, -1))
    monkeypatch.setattr(logistic_cuda, "LARGE", 1)
    model, _ = solver(cuda)(two, 1.0, max_iterations=100)
    assert model.predict(two.features).shape == (IMAGES,)
    assert went == [cuda]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    data, new = labelled(0), labelled(1)
    model, fine = fit_on(data, 1.0, max_iterations=1000, device=torch.device("cuda"))
    other, _ = fit_on(data, 1.0, max_iterations=1000, device=CPU)
    assert fine
    assert model.decision_function(new.features) == pytest.approx(other.decision_function(new.features), abs=1e-2)
