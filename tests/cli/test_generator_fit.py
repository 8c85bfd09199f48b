"""`copgen generator fit`: from the recipe to a weights file that the other commands take."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

import copgen.stages.generator.fit
import copgen.stages.generator.gan.stage
import copgen.stages.generator.residual_flow.stage
from copgen_cli.generator import made_by_rows
from tests.cli.command import copgen as run

SMALL = """
[\"generator fit\".flow]
blocks = [0]
linear_blocks = 1
linear_width = 8
"""


def test_fits_and_its_weights_are_a_generator(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The judge of the samples takes longer than all the rest, and has tests of its own.
    monkeypatch.setattr(copgen.stages.generator.fit, "assess_digits", lambda G: {"confident_share": 0.5})
    Path("small.toml").write_text(SMALL)
    words = ("generator", "fit", "digits", "--config", "small.toml", "--steps", 96, "--batch", 48)
    outcome, again = run(*words, "--json"), run(*words)
    assert outcome.code == 0, outcome.err
    assert outcome.err.startswith("96 samples = 2 updates of 48, into runs/generator-digits.")
    weights = outcome.document["weights"]
    assert outcome.err.splitlines()[-1] == f"Next: copgen navigate --generator digits --weights {weights}"
    assert "already finished" in again.err
    assert "bits/dim" in again.out
    inspected = run("generator", "inspect", "digits", "--weights", weights)
    assert inspected.code == 0
    assert "bits/dim" in inspected.out


GAN = """
["generator fit gan".network]
latent_dim = 6
width = 4
discriminator_width = 4
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quality of the samples has tests of its own."""
    found = {"quality": {"precision": 0.5}, "class_shares": {"0": 0.75, "1": 0.25}}
    monkeypatch.setattr(copgen.stages.generator.gan.stage, "assess", lambda *arguments: found)
    monkeypatch.setattr(copgen.stages.generator.residual_flow.stage, "assess", lambda *arguments: copy.deepcopy(found))


def test_fits_a_gan_that_navigate_and_sample_take_by_its_run_folder(here: Path, quick: None) -> None:
    Path("small.toml").write_text(GAN)
    words = ("generator", "fit", "digits", "--recipe", "gan", "--config", "small.toml", "--steps", 96, "--batch", 48)
    outcome = run(*words, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["class_shares"] == {"0": 0.75, "1": 0.25}
    weights = outcome.document["weights"]
    assert outcome.err.splitlines()[-1] == f"Next: copgen navigate --generator {weights}"
    shown = run(*words)
    assert "already finished" in shown.err
    assert "0 75.0 %, 1 25.0 %" in shown.out

    inspected = run("generator", "inspect", "runs/generator-digits", "--out", "sheet.png", "--json")
    assert inspected.document["name"] == "gan"
    assert inspected.document["image_shape"] == [1, 8, 8]
    assert inspected.document["made_by"]["command"] == "copgen generator fit digits --recipe gan"
    assert Path("sheet.png").is_file()

    navigated = run(
        "navigate", "-g", "runs/generator-digits", "--samples", 16, "--batch", 8, "--out", "runs/T", "--json"
    )
    assert navigated.code == 0, navigated.err
    sampled = run("sample", "--navigator", "runs/T", "-n", 4, "--batch", 4, "--out", "pairs", "--json")
    assert sampled.code == 0, sampled.err
    assert sampled.document["pairs"] == 4
    other = run("sample", "-g", weights, "--transform", "gaussian", "-n", 4, "--batch", 4, "--out", "others", "--json")
    assert other.code == 0, other.err
    assert run("sample", "--only", 0, "--out", "others", "--json").document["pairs"] == 4


FLOW = """
["generator fit residual-flow"]
updates = 2
batch = 48

["generator fit residual-flow".network]
linear_blocks = 1
linear_width = 8
"""


def test_fits_a_flow_that_other_commands_take_by_its_run_folder(here: Path, quick: None) -> None:
    Path("flow.toml").write_text(FLOW)
    made = run("generator", "fit", "digits", "--recipe", "residual-flow", "--config", "flow.toml", "--json")
    assert made.code == 0, made.err
    assert set(made.document["bits_per_dim"]) == set(made.document["bits_per_dim_error"]) == {"validation", "test"}
    weights = made.document["weights"]
    assert made.err.splitlines()[-1] == f"Next: copgen navigate --generator {weights}"
    inspected = run("generator", "inspect", "runs/generator-digits", "--json")
    assert inspected.document["name"] == "residual-flow"
    assert inspected.document["made_by"]["command"] == "copgen generator fit digits --recipe residual-flow"
    sampled = run("sample", "-g", weights, "--transform", "gaussian", "-n", 4, "--batch", 4, "--out", "pairs", "--json")
    assert sampled.code == 0, sampled.err
    again = run("generator", "fit", "digits", "--config", "runs/generator-digits/config.toml")
    assert "already finished" in again.err
    assert "bits/dim" in again.out


def test_other_datasets_get_a_gan_without_a_recipe(here: Path) -> None:
    Path("photos").mkdir()
    plan = run("generator", "fit", "mnits", "--dry-run")
    assert plan.code == 2
    assert "mnist" in plan.err
    empty = run("generator", "fit", "./photos", "--dry-run")
    assert empty.code == 3
    assert "no images" in empty.err


def test_a_settings_file_tells_which_kind_it_is_for(here: Path, quick: None) -> None:
    Path("gan.toml").write_text(GAN + '["generator fit gan"]\nupdates = 1\nbatch = 8\n')
    made = run("generator", "fit", "digits", "--config", "gan.toml", "--out", "runs/a", "--json")
    assert made.code == 0, made.err
    again = run("generator", "fit", "digits", "--config", "runs/a/config.toml", "--out", "runs/b", "--json")
    assert again.code == 0, again.err
    assert again.document["settings"] == made.document["settings"]


@pytest.mark.parametrize(
    ("recipe", "flag"),
    [
        ("digits", "--image-size"),
        ("digits", "--data-root"),
        ("digits", "--augmentations"),
        ("residual-flow", "--augmentations"),
    ],
)
def test_a_flag_of_the_other_kind_is_refused(here: Path, recipe: str, flag: str) -> None:
    value = {"--image-size": "28", "--data-root": ".", "--augmentations": "cutout"}[flag]
    outcome = run("generator", "fit", "digits", "--recipe", recipe, flag, value)
    assert outcome.code == 2
    assert flag in outcome.err


def test_augmentations_may_be_none_and_an_unknown_one_is_named(here: Path) -> None:
    Path("gan.toml").write_text(GAN)
    plan = run("generator", "fit", "digits", "--config", "gan.toml", "--augmentations", "none", "--dry-run", "--json")
    assert plan.code == 0, plan.err
    assert plan.document["settings"]["augmentations"] == []
    wrong = run("generator", "fit", "digits", "--config", "gan.toml", "--augmentations", "cutout,colours")
    assert wrong.code == 2
    assert "'colours'" in wrong.err
    assert "'colour'" in wrong.err
    for given, what in (("none,cutout", "stands alone"), ("cutout,cutout", "twice")):
        wrong = run("generator", "fit", "digits", "--config", "gan.toml", "--augmentations", given)
        assert wrong.code == 2
        assert what in wrong.err


def test_a_run_folder_without_its_slash_is_told_how_it_is_given(here: Path) -> None:
    Path("fitted").mkdir()
    outcome = run("navigate", "-g", "fitted", "--dry-run")
    assert outcome.code == 2
    assert "./fitted" in outcome.err


def test_a_name_and_its_file_conflict_with_other_weights(here: Path, quick: None) -> None:
    Path("gan.toml").write_text(GAN + '["generator fit gan"]\nupdates = 1\nbatch = 8\n')
    run("generator", "fit", "digits", "--config", "gan.toml", "--out", "runs/a")
    outcome = run("navigate", "-g", "runs/a", "--weights", "runs/b.safetensors", "--dry-run")
    assert outcome.code == 2
    assert "runs/b.safetensors" in outcome.err


@pytest.mark.parametrize("table", [3, [1], None, {"precision": "high"}])
def test_a_header_whose_quality_is_no_table_of_numbers_is_shown_without_it(table: object) -> None:
    assert made_by_rows({"quality": table, "class_shares": table, "bits_per_dim": table}) == []
    assert made_by_rows({"quality": {"recall": 0.5}}) == [("recall", "0.5")]
