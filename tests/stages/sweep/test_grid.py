"""The runs of a sweep, and what is refused before any of them starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from copgen.runtime.errors import UsageError
from copgen.stages.sweep.grid import named, planned
from copgen.stages.sweep.settings import SweepSettings


def sweep(**given: Any) -> SweepSettings:
    return SweepSettings.model_validate({"recipe": "digits", **given})


def test_every_combination_runs_with_every_seed() -> None:
    runs = planned(sweep(values={"delta": (0.03, 0.05), "batch": (64, 128)}, settings={"seed": 4}, seeds=2))
    assert [run.name for run in runs][:3] == [
        "delta=0.03,batch=64/seed-4",
        "delta=0.03,batch=64/seed-5",
        "delta=0.03,batch=128/seed-4",
    ]
    assert len(runs) == 8
    last = runs[-1].settings
    assert (last.seed, last.batch, getattr(last, "delta", None)) == (5, 128, 0.05)
    assert runs[-1].values == {"delta": 0.05, "batch": 128}


def test_seeds_may_be_values_and_are_no_combination() -> None:
    assert [run.name for run in planned(sweep(values={"seed": (3, 7)}))] == ["seed-3", "seed-7"]
    assert [run.name for run in planned(sweep(seeds=2))] == ["seed-0", "seed-1"]


def test_layers_are_those_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("batch = 32\nlr_encoder = 0.5\nsamples = 640\n")
    (run,) = planned(sweep(config=tmp_path / "mine.toml", settings={"lr_encoder": 0.25, "updates": 3}))
    settings: Any = run.settings
    assert (settings.batch, settings.lr_encoder, settings.samples, settings.temperature) == (32, 0.25, 96, 0.5)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"delta": 0.05}, "delta=0.05"),
        ({"lr": 1e-5, "batch": 64}, "lr=1e-05,batch=64"),
        ({"stop": "delta,loss-turn"}, "stop=delta-loss-turn"),
        ({"projector": (64, 64)}, "projector=64-64"),
        ({"pairs": Path("runs/a b")}, "pairs=runs-a-b"),
        ({"pairs": Path("../..")}, "pairs=..-.."),
        ({"compile": True}, "compile=true"),
        ({}, ""),
    ],
)
def test_names_are_readable_and_stay_in_their_folder(values: dict[str, Any], name: str) -> None:
    assert named(values) == name


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"values": {"dleta": (1, 2)}}, "delta"),
        ({"values": {"delta": (0.05, -1.0)}}, "delta = -1.0"),
        ({"values": {"delta": (0.05, 0.05)}}, "delta = 0.05 is given twice"),
        ({"values": {"delta": ()}}, "delta has no values"),
        ({"values": {"samples": (640, 768), "steps": (1, 2)}}, "steps is another name of samples"),
        ({"values": {"samples": (640,), "updates": (5,)}}, "samples"),
        ({"values": {"delta": (0.05, 0.1)}, "settings": {"delta": 0.2}}, "one value for all"),
        ({"values": {"seed": (1, 2)}, "seeds": 2}, "seed"),
        ({"values": {"views": ("a b", "a-b")}}, "views=a-b/seed-0"),
        ({"values": {"updates": (5, 6)}, "stage": "pretrain", "settings": {"lr": -1.0}}, "lr = -1.0"),
        ({"stage": "pretrain", "values": {"delta": (0.1, 0.2)}}, "pretrain"),
    ],
)
def test_bad_grids_are_refused_with_the_value(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        planned(sweep(**given))
    with pytest.raises(UsageError, match=r"mine\.toml"):
        planned(sweep(config=Path("mine.toml")))


def test_an_error_names_the_run_that_has_it() -> None:
    with pytest.raises(UsageError) as caught:
        planned(sweep(values={"stop": ("delta", "probe"), "batch": (64, 128)}))
    assert "stop = probe, batch = 64" in caught.value.what
    assert "probe_on" in caught.value.what
