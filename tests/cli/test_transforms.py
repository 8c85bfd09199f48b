"""Transforms, steering and recipes from the command line: what is said, what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copgen import pairs
from tests.cli.command import copgen
from tests.generators import narrow


def test_steering_from_training_to_pairs(here: Path, weights: Path) -> None:
    steered = copgen("navigate", "--objective", "steering", "--weights", weights, "--updates", 2, "--batch", 4)
    assert steered.code == 0, steered.err
    assert "8 samples = 2 updates of 4, generator digits, into runs/steering." in steered.err
    assert steered.out.splitlines()[0].split() == ["walk", "runs/steering/walk.safetensors"]
    assert steered.err.splitlines()[-1] == "Next: copgen sample --out pairs/ --n 10k --transform steering"
    shown = copgen("navigator", "show", "runs/steering", "--n", 2, "--out", "sheet.png")
    assert shown.code == 0, shown.err
    assert Path("sheet.png").read_bytes().startswith(b"\x89PNG")
    inspected = copgen("navigator", "inspect", "runs/steering", "--draws", "1k")
    assert inspected.err == "Next: copgen sample --transform steering --walk runs/steering\n"
    sampled = copgen("sample", "--transform", "steering", "--n", 6, "--batch", 3, "--positives", 2, "--json")
    assert sampled.code == 0, sampled.err
    assert "6 pairs of digits with the walk runs/steering, into pairs." in sampled.err
    assert all(len(pair.positives) == 2 for pair in pairs.read("pairs"))
    pretrained = copgen("pretrain", "--pairs", "pairs/", "--updates", 1, "--batch", 4)
    assert pretrained.code == 0, pretrained.err


def test_sub_spaces_from_the_command_line(here: Path, tmp_path: Path) -> None:
    weights = narrow.published("biggan-deep-128", tmp_path)
    words = (
        "sample",
        "--generator",
        "biggan-deep-128",
        "--weights",
        weights,
        "--transform",
        "random",
        "--n",
        4,
        "--batch",
        4,
    )
    outcome = copgen(*words, "--conditions", "balanced", "--condition-list", "7,2-3", "--out", "pairs", "-q")
    assert outcome.code == 0, outcome.err
    plan = json.loads(Path("pairs/plan.json").read_text())
    assert plan["generator"]["settings"]["condition_list"] == "7 2 3"
    assert sorted({pair.metadata["class"] for pair in pairs.read("pairs")}) == [2, 3, 7]
    refused = copgen(*words, "--condition-list", "0-99", "--out", "other")
    assert refused.code == 2
    assert all(part in refused.err for part in ("class 10 ", "biggan-deep-128", "0 to 9"))


def test_recipes_are_compared() -> None:
    outcome = copgen("recipes", "diff", "bigbigan", "bigbigan-algorithm1")
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.out.splitlines()] == [
        "navigate.anchors",
        "navigate.loss_scale",
        "navigate.update",
    ]
    document = copgen("recipes", "diff", "bigbigan", "biggan-deep-128", "--json").document
    found = {one["setting"]: (one["first"], one["second"]) for one in document["differences"]}
    assert found["navigate.batch"] == (176, 500)
    assert found["sample.conditions"] == (None, "balanced")
    assert copgen("recipes", "diff", "digits", "digits", "--json").document["differences"] == []
    assert "Did you mean 'bigbigan'" in copgen("recipes", "diff", "bigbigan", "bigbgan").err


@pytest.mark.parametrize("generator", narrow.NAMES)
def test_the_lines_of_the_design_run_once_weights_are_there(
    generator: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without them they say what to do."""
    monkeypatch.setenv("COPGEN_WEIGHTS", "weights")
    for words in (("--steps", "200k"), ("--objective", "steering")):
        without = copgen("navigate", "--generator", generator, *words)
        assert without.code == 4
        assert f"'{generator}'" in without.err
        assert f"copgen generator fetch {generator}" in without.err
        assert f"copgen generator import {generator} " in without.err
    place = here / "published"
    place.mkdir()
    imported = copgen("generator", "import", generator, narrow.published(generator, place), "-q")
    assert imported.code == 0, imported.err
    small = ("--batch", 2, "--updates", 1, "--encoder", "digits")
    assert copgen("navigate", "--generator", generator, *small, "-q").code == 0
    sampled = copgen("sample", "--out", "pairs/", "--n", 2, "--batch", 2)
    assert sampled.code == 0, sampled.err
    assert f"2 pairs of {generator} with T_z of runs/navigate, into pairs." in sampled.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("sample", "--transform", "gaussian", "--std", 0), 2, "std = 0.0"),
        (("sample", "--transform", "gausian"), 2, "Did you mean 'gaussian'"),
        (("sample", "--transform", "none", "--positives", 4), 2, "4 positives"),
        (("sample", "--transform", "steering"), 3, "runs/steering/walk.safetensors"),
        (("sample", "--transform", "none", "--conditions", "balanced"), 2, "'digits'"),
        (("sample", "--transform", "none", "--condition-list", "5-3"), 2, "3-5"),
        (("sample", "--transform", "none", "--truncation", 0.5), 2, "truncation"),
        (("navigate", "--blocks", "3"), 2, "block 3 in 'digits'"),
        (("navigate", "--blocks", "a"), 2, "'a'"),
        (("navigate", "--hidden-ratio", 0), 2, "hidden_ratio = 0.0"),
        (("navigate", "--objective", "steering", "--stop", "delta"), 2, "Remove --stop."),
        (("navigate", "--objective", "steering", "--lr-navigator", -1), 2, "lr = -1.0"),
        (("navigate", "--objective", "steer"), 2, "Did you mean 'steering'"),
        (("navigator", "show", "runs/none"), 3, "runs/none"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_an_impossible_command_is_refused_and_writes_nothing(
    here: Path, weights: Path, words: tuple[object, ...], code: int, says: str
) -> None:
    more = ("--weights", weights) if words[0] != "navigator" else ()
    if words[0] == "sample":
        more = (*more, "--generator", "digits", "--n", 4)
    outcome = copgen(*words, *more, "--json")
    error = outcome.document["error"]
    assert (outcome.code, error["code"]) == (code, code)
    assert says in f"{error['what']} {error['fix']}"
    assert list(here.iterdir()) == []
