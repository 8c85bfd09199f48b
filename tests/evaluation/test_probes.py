"""The probes on features with a known answer; nothing is chosen by the test split."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from copgen.evaluation import logistic
from copgen.evaluation.logistic import Labelled, fit, one_thread, top1
from copgen.evaluation.probes import few_label_probe, linear_probe, nearest_neighbour
from copgen.runtime.errors import UsageError

GRID = (1e-2, 1.0, 1e2)
CLASSES = 5


def features(images: int, *, separation: float, seed: int) -> Labelled:
    """Gaussian features, one for each class: class c is shifted by `separation` along axis c."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % CLASSES
    values = rng.normal(size=(images, CLASSES))
    values[np.arange(images), labels] += separation
    return Labelled(values, labels.astype(np.int64))


def splits(separation: float, *, images: int = 200) -> tuple[Labelled, Labelled, Labelled]:
    train, validation, test = (features(images, separation=separation, seed=seed) for seed in range(3))
    return train, validation, test


def test_separable_features_are_read_perfectly() -> None:
    train, validation, test = splits(30.0)
    assert linear_probe(train, validation, test, c_grid=GRID).top1 == 1.0
    assert nearest_neighbour(train + validation, test) == 1.0
    for labels in (1, 5):
        probe = few_label_probe(train, validation, test, labels_per_class=labels, draws=3, seed=0, c_grid=GRID)
        assert (probe.top1_mean, probe.top1_std) == (1.0, 0.0)


def test_noise_is_read_at_chance() -> None:
    train, validation, test = splits(0.0, images=500)
    chance = 1.0 / CLASSES
    four_sigma = 4.0 * (chance * (1.0 - chance) / len(test)) ** 0.5
    assert linear_probe(train, validation, test, c_grid=GRID).top1 == pytest.approx(chance, abs=four_sigma)
    assert nearest_neighbour(train, test) == pytest.approx(chance, abs=four_sigma)
    few = few_label_probe(train, validation, test, labels_per_class=5, draws=3, seed=0, c_grid=GRID)
    assert few.top1_mean == pytest.approx(chance, abs=four_sigma)


def test_the_test_labels_choose_nothing() -> None:
    train, validation, test = splits(1.0)
    other = Labelled(test.features, np.roll(test.labels, 1))
    honest = linear_probe(train, validation, test, c_grid=GRID)
    altered = linear_probe(train, validation, other, c_grid=GRID)
    assert altered.top1 != honest.top1
    assert (altered.C, altered.validation_top1) == (honest.C, honest.validation_top1)
    few = [
        few_label_probe(train, validation, t, labels_per_class=5, draws=4, seed=0, c_grid=GRID) for t in (test, other)
    ]
    assert few[0].top1_mean != few[1].top1_mean
    assert [(p.C, p.validation_top1) for p in few[0].draws] == [(p.C, p.validation_top1) for p in few[1].draws]


def test_the_test_split_is_never_fitted() -> None:
    """With more features than images a linear layer memorises any labels: at chance accuracy it has not seen them."""
    rng = np.random.default_rng(0)
    train, validation, test = (Labelled(rng.normal(size=(100, 400)), np.arange(100) % CLASSES) for _ in range(3))
    assert linear_probe(train, validation, train, c_grid=GRID).top1 == 1.0
    assert linear_probe(train, validation, validation, c_grid=GRID).top1 == 1.0
    assert linear_probe(train, validation, test, c_grid=GRID).top1 < 0.4
    assert few_label_probe(train, validation, test, labels_per_class=10, draws=2, seed=0, c_grid=GRID).top1_mean < 0.4


def test_the_validation_labels_choose_c() -> None:
    train, validation, test = splits(1.0)
    probe = linear_probe(train, validation, test, c_grid=GRID[::-1])
    inputs, held_out = train.standardised(train), validation.standardised(train)
    accuracies = {c: top1(fit(inputs, c, max_iterations=5000)[0], held_out) for c in GRID}
    assert probe.validation_top1 == tuple(accuracies.values())
    assert accuracies[probe.C] == max(accuracies.values()) > min(accuracies.values())


def test_the_smallest_c_wins_among_equals() -> None:
    train, validation, test = splits(30.0)
    probe = linear_probe(train, validation, test, c_grid=GRID[::-1])
    assert set(probe.validation_top1) == {1.0}
    assert min(GRID) == probe.C


def test_scale_and_shift_of_a_feature_do_not_matter_to_the_linear_probe() -> None:
    original = splits(1.0)
    scale = 2.0 ** np.arange(-2, CLASSES - 2)
    moved = tuple(Labelled(part.features * scale + 3.0 * scale, part.labels) for part in original)
    first = linear_probe(*original, c_grid=GRID)
    assert linear_probe(*moved, c_grid=GRID) == first


def test_constant_features_are_harmless() -> None:
    train, validation, test = (
        Labelled(np.hstack((part.features, np.full((len(part), 2), (0.0, 0.1)))), part.labels) for part in splits(1.0)
    )
    expected = linear_probe(*splits(1.0), c_grid=GRID)
    assert linear_probe(train, validation, test, c_grid=GRID) == expected
    assert np.isfinite(train.standardised(train).features).all()


def test_the_nearest_neighbour_goes_by_angle() -> None:
    bank = Labelled(np.array([[10.0, 0.0], [0.0, 0.1], [0.0, 0.0]]), np.array([0, 1, 2]))
    test = Labelled(np.array([[0.1, 0.01], [1.0, 5.0]]), np.array([0, 1]))
    assert nearest_neighbour(bank, test) == 1.0


def test_label_draws_depend_on_the_seed_alone_and_more_labels_help() -> None:
    train, validation, test = splits(1.5)
    probe = [
        few_label_probe(train, validation, test, labels_per_class=n, draws=5, seed=seed, c_grid=GRID)
        for n, seed in ((1, 0), (1, 0), (1, 1), (20, 0))
    ]
    assert probe[0] == probe[1]
    assert probe[0] != probe[2]
    assert probe[0].top1_std > 0.0
    assert probe[3].top1_mean > probe[0].top1_mean
    accuracies = [draw.top1 for draw in probe[0].draws]
    assert probe[0].top1_mean == pytest.approx(np.mean(accuracies))
    assert probe[0].top1_std == pytest.approx(np.std(accuracies, ddof=1))


def test_more_labels_than_there_are_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^41 labels per class.* class 0 has 40 "):
        few_label_probe(*splits(1.0), labels_per_class=41, draws=1, seed=0, c_grid=GRID)


def test_a_fit_that_stops_early_is_recorded_and_does_not_warn() -> None:
    train, validation, test = splits(1.0)
    with one_thread():
        assert not linear_probe(train, validation, test, c_grid=GRID, max_iterations=1).converged
    assert linear_probe(train, validation, test, c_grid=GRID).converged


def test_float32_features_are_standardised_as_float64_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "ROWS", 7)
    rng = np.random.default_rng(0)
    small = (rng.normal(size=(100, 6)) * 10.0 ** np.arange(-3, 3) + 10.0).astype(np.float32)
    small[:, 2] = 0.1
    labels, wide = np.arange(100), small.astype(np.float64)
    mean, std = wide.mean(axis=0), wide.std(axis=0)
    std[2] = 1.0
    train = Labelled(small, labels)
    standardised = train.subset(labels[40:60]).standardised(train).features
    assert standardised.dtype == np.float64
    assert np.array_equal(standardised, ((wide - mean) / std)[40:60])


def test_a_few_labels_do_not_need_copies_of_all_features() -> None:
    rng = np.random.default_rng(0)
    train = Labelled(rng.normal(size=(60_000, 32)).astype(np.float32), np.arange(60_000) % CLASSES)
    small = Labelled(train.features[:50], train.labels[:50])
    tracemalloc.start()
    try:
        few_label_probe(train, small, small, labels_per_class=2, draws=2, seed=0, c_grid=(0.1,))
        assert tracemalloc.get_traced_memory()[1] < train.features.nbytes
    finally:
        tracemalloc.stop()
