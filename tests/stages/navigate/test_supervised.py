"""Supervised COP-Gen: batches of few classes, SupCon of both views, and invalid settings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import pairs, views
from copgen.distributed.ranks import Ranks
from copgen.generators.class_batches import draw_classes
from copgen.objectives import sup_con
from copgen.runtime.errors import UsageError
from copgen.runtime.settings import resolve
from copgen.stages.navigate.players import Game
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import navigate, one_update
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from tests.generators import narrow
from tests.stages.painter import CLASSES, Painter, painter_settings
from tests.stages.small import navigate_settings

CPU = torch.device("cpu")


def drawn(rows: range, *, batch: int = 500, classes: int = 250, count: int = 1000, seed: int = 0) -> list[int]:
    found = draw_classes(rows, batch=batch, classes=classes, count=count, seed=seed, device=CPU)
    return [int(k) for k in found]


def test_a_batch_holds_half_as_many_classes_as_images() -> None:
    for batch in range(3):
        rows = drawn(range(500 * batch, 500 * (batch + 1)))
        assert set(Counter(rows).values()) == {2}
        assert len(set(rows)) == 250
        assert all(0 <= k < 1000 for k in rows)
    assert set(drawn(range(500))) != set(drawn(range(500, 1000)))
    assert drawn(range(500)) != drawn(range(500), seed=1)


def test_a_class_belongs_to_its_row_whoever_draws_it() -> None:
    whole = drawn(range(2000))
    parts = [drawn(range(start, start + 125)) for start in range(0, 2000, 125)]
    assert [k for part in parts for k in part] == whole
    assert drawn(range(700, 1300)) == whole[700:1300]


def test_all_classes_come_equally_often() -> None:
    counts = Counter(drawn(range(40_000), batch=10, classes=5, count=10))
    assert len(counts) == 10
    # 4,000 batches with 5 of 10 classes, twice each: 4,000 expected, a standard deviation of 2 sqrt(4000 / 4) = 63.
    assert max(abs(count - 4000) for count in counts.values()) < 5 * 63


@pytest.mark.parametrize("rule", ["simultaneous", "alternating"])
def test_the_loss_is_sup_con_of_all_views_with_their_classes(rule: str) -> None:
    settings = painter_settings(objective="sup_con", update=rule, temperature=0.2)
    G = Painter()
    game, twin = Game(settings, G, CPU), Game(settings, G, CPU)
    figures = one_update(settings, G, views.policy("mnist"), game, range(8), ranks=Ranks())
    z = G.sample_prior(range(8), 0).double()
    y = torch.tensor(drawn(range(8), batch=8, classes=4, count=CLASSES))
    with torch.no_grad():
        images = {"anchor": G(z, y), "positive": G(twin.T_z(z), y)}
        v = [
            views.augment(x, views.policy("mnist"), seed=0, rows=range(8), stream=f"views/{name}")
            for name, x in images.items()
        ]
        expected = sup_con(twin.f(torch.cat(v)), torch.cat((y, y)), temperature=0.2)
    assert float(figures["loss_encoder"]) == pytest.approx(float(expected), rel=1e-12)


def supervised(weights: Path, **changes: Any) -> NavigateSettings:
    flags = {
        "weights": weights,
        "objective": "sup_con",
        "samples": 8,
        "batch": 4,
        "encoder": "digits",
        "projector": (8, 4),
        "device": "cpu",
        **changes,
    }
    return resolve(NavigateSettings, "navigate", recipe="biggan-deep-128", config=None, flags=flags)


def test_a_class_conditional_generator_is_navigated_and_its_labels_are_in_the_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copgen.stages.navigate.previews.PAIRS", 2)
    weights = narrow.published("biggan-deep-128", tmp_path)
    summary = navigate(supervised(weights), out=tmp_path / "run")
    assert summary["updates"] == 2
    flags = {"weights": weights, "navigator": tmp_path / "run", "n": 3, "batch": 3, "device": "cpu"}
    sample(
        resolve(SampleSettings, "sample", recipe="biggan-deep-128", config=None, flags=flags), out=tmp_path / "pairs"
    )
    assert all(pair.metadata["class"] in range(narrow.CLASSES) for pair in pairs.read(tmp_path / "pairs"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch": 5}, r"A batch of 5 cannot be divided evenly among .* .* 4 or 6\."),
        ({"batch": 8, "classes": 3}, r"A batch of 8 .* 3 classes\. .*6 or 9\."),
        ({"samples": 80, "batch": 40}, r"holds 20 classes, and 'biggan-deep-128' has 10\. Lower --batch to 20"),
        ({"samples": 80, "batch": 22, "classes": 11}, r"Lower --batch to 20 or less, or --classes to 10 or less\."),
    ],
)
def test_batches_that_the_classes_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, int], says: str) -> None:
    weights = narrow.published("biggan-deep-128", tmp_path)
    with pytest.raises(UsageError, match=says):
        navigate(supervised(weights, **changes), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_generator_without_classes_is_refused(flow: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'sup_con' .*'digits'"):
        navigate(navigate_settings(flow, objective="sup_con"), out=tmp_path / "run")


def test_classes_of_another_objective_are_refused(flow: Path) -> None:
    with pytest.raises(ValueError, match="objective = 'sup_con'"):
        navigate_settings(flow, classes=4)
