"""Where a setting comes from: flags beat the config file, which beats the recipe; the generator picks the recipe."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, get_args

import pytest

from copgen import generators
from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.latents import Prior
from copgen.latents.navigator import new_navigator, save_navigator
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.sample.settings import SampleSettings
from copgen_cli.next_step import pretrain_on, pretrain_on_images
from tests.cli.command import copgen
from tests.generators import narrow
from tests.pairs import folders


def resolved(*words: object) -> dict[str, Any]:
    """The settings that a command would run with."""
    outcome = copgen(*words, "--dry-run", "--json")
    assert outcome.code == 0, outcome.err
    settings: dict[str, Any] = outcome.document["settings"]
    return settings


def test_flags_beat_config_beats_recipe(here: Path, weights: Path) -> None:
    Path("mine.toml").write_text("[navigate]\nbatch = 32\nsamples = 640\n")
    words = ("navigate", "--weights", weights)
    assert resolved(*words, "--steps", "0.1k", "--batch", 20)["batch"] == 20
    settings = resolved(*words, "--config", "mine.toml", "--steps", 320)
    assert (settings["samples"], settings["batch"], settings["init"]) == (320, 32, "target_std")


def test_dry_run_prints_toml_that_config_takes_and_writes_nothing(here: Path, weights: Path) -> None:
    words = ("navigate", "--weights", weights, "--steps", 128, "--batch", 64, "--seed", 7)
    outcome = copgen(*words, "--dry-run")
    assert outcome.code == 0
    assert list(here.iterdir()) == []
    first, *_ = outcome.out.splitlines()
    assert first.startswith("# about ")
    assert all(unit in first for unit in ("memory", "disk"))
    Path("mine.toml").write_text(outcome.out)
    assert copgen("navigate", "--config", "mine.toml", "--dry-run").out.splitlines()[1:] == outcome.out.splitlines()[1:]


def test_config_of_a_run_folder_repeats_the_run(here: Path, weights: Path) -> None:
    words = ("navigate", "--weights", weights, "--steps", 64, "--batch", 64, "-q")
    assert copgen(*words, "--out", "a").code == 0
    assert copgen("navigate", "--config", "a/config.toml", "--out", "b", "-q").code == 0
    assert Path("a/navigator.safetensors").read_bytes() == Path("b/navigator.safetensors").read_bytes()


def test_updates_give_the_same_length_as_steps(here: Path, weights: Path) -> None:
    words = ("navigate", "--weights", weights, "--batch", 50)
    assert resolved(*words, "--updates", 4) == resolved(*words, "--steps", 200)


def test_steps_of_pretrain_become_updates(here: Path) -> None:
    words = ("pretrain", "--dataset", "digits", "--batch", 64)
    assert resolved(*words, "--steps", 200)["updates"] == 3


def test_epochs_as_a_flag_beat_updates_in_a_file(here: Path) -> None:
    Path("mine.toml").write_text('dataset = "digits"\nupdates = 1000\nbatch = 64\n')
    settings = resolved("pretrain", "--config", "mine.toml", "--epochs", 0.2)
    assert settings["epochs"] == 0.2
    assert "updates" not in settings


def test_epochs_in_a_file_beat_updates_in_the_recipe(here: Path) -> None:
    Path("mine.toml").write_text('dataset = "digits"\nepochs = 0.2\nbatch = 64\n')
    assert "updates" not in resolved("pretrain", "--config", "mine.toml")
    assert resolved("pretrain", "--config", "mine.toml", "--updates", 3)["updates"] == 3


def test_sample_takes_generator_and_weights_from_the_navigator(here: Path, weights: Path) -> None:
    assert copgen("navigate", "--weights", weights, "--steps", 64, "--batch", 64, "-q").code == 0
    settings = resolved("sample", "--n", 10)
    assert (settings["generator"], settings["weights"]) == ("digits", str(weights))
    assert settings["transform"] == "optimal"


@pytest.mark.parametrize(
    ("trained", "said", "flags", "prior"),
    [
        ({"prior": "truncated_normal", "truncation_scale": 0.7, "truncation_threshold": 2.0}, "", (), (0.7, 2.0)),
        ({"prior": "truncated_normal", "truncation_scale": 0.7}, 'prior = "normal"', (), None),
        ({"prior": "normal"}, "truncation_scale = 0.5", (), (0.5, 2.0)),
        ({"prior": "normal"}, "", ("--truncation", 0.4), (0.4, 2.0)),
        ({"prior": "normal"}, "", (), None),
    ],
)
def test_a_given_prior_beats_the_navigator_s_and_the_recipe_s(
    here: Path, trained: dict[str, Any], said: str, flags: tuple[object, ...], prior: tuple[float, float] | None
) -> None:
    file = narrow.published("bigbigan", here)
    G = generators.load("bigbigan", weights=file)
    made_by = {
        "generator": "bigbigan",
        "weights_sha256": G.weights_sha256,
        "settings": {"weights": str(file), **trained},
    }
    save_navigator(here / "T_z.safetensors", new_navigator(G.latent_dim, prior=G.prior, seed=0), made_by=made_by)
    Path("mine.toml").write_text(said)
    words = ("sample", "--navigator", "T_z.safetensors", "--config", "mine.toml", "--n", 2, "--device", "cpu", *flags)
    outcome = copgen(*words)
    assert outcome.code == 0, outcome.err
    plan = json.loads(Path("pairs/plan.json").read_text())["prior"]
    found = (plan["settings"]["scale"], plan["settings"]["threshold"]) if plan["name"] == "truncated_normal" else None
    assert found == prior


def test_pairs_have_the_classes_that_their_navigator_was_trained_on(here: Path) -> None:
    file = narrow.published("biggan-deep-128", here)
    G = generators.load("biggan-deep-128", weights=file)
    of_run = {"weights": str(file), "condition_list": [3, 1]}
    made_by = {"generator": "biggan-deep-128", "weights_sha256": G.weights_sha256, "settings": of_run}
    save_navigator(here / "T_z.safetensors", new_navigator(G.latent_dim, prior=G.prior, seed=0), made_by=made_by)
    for flags, classes in (((), "3 1"), (("--condition-list", "2", "--out", "other"), "2")):
        outcome = copgen("sample", "--navigator", "T_z.safetensors", "--n", 2, "--device", "cpu", *flags)
        assert outcome.code == 0, outcome.err
        plan = json.loads(Path("other" if flags else "pairs", "plan.json").read_text())
        assert plan["generator"]["settings"]["condition_list"] == classes


def test_settings_may_come_through_a_pipe(here: Path, weights: Path) -> None:
    read, write = os.pipe()
    os.write(write, f"n = 7\ntransform = 'none'\nweights = '{weights}'\n".encode())
    os.close(write)
    try:
        settings = resolved("sample", "--config", f"/dev/fd/{read}", "--generator", "digits", "--seed", 5)
    finally:
        os.close(read)
    assert (settings["n"], settings["transform"], settings["seed"]) == (7, "none", 5)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--tz", "none", "--only", 1, "--shard-slice", "0/2"), "--only and --shard-slice"),
        (("--tz", "gaussian", "--std", 1e30), "std = 1e+30"),
        (("--tz", "none", "--threads", 5000), "less than or equal to 1024"),
        (("--tz", "none", "--workers", 100_000, "--device", "cpu"), "--workers 100,000"),
    ],
    ids=str,
)
def test_conflicting_and_excessive_options_are_refused(here: Path, words: tuple[object, ...], says: str) -> None:
    outcome = copgen("sample", "--generator", "digits", "--n", 4, *words)
    assert (outcome.code, says in outcome.err) == (2, True), outcome.err
    assert list(here.iterdir()) == []


def test_whole_numbers_name_their_option_and_names_are_trimmed(here: Path) -> None:
    for value in ("0.5", "nan", "9-1"):
        outcome = copgen("eval", "few-shot", "--percent", value)
        assert (outcome.code, "--percent" in outcome.err, value in outcome.err) == (2, True, True), outcome.err
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    save_encoder(Path("runs/pretrain"), build("digits", 1), config, {})
    rehearsed = copgen("eval", "transfer", "--datasets", " digits, mnist ,x", "--dry-run", "--json")
    assert rehearsed.document["settings"]["datasets"] == ["digits", "mnist", "x"], rehearsed.err


@pytest.mark.parametrize(
    ("pairs", "generator", "flags"),
    [
        (20, "digits", "--batch 16"),
        (127, "digits", "--batch 64"),
        (128, "digits", ""),
        (200, "x", "--batch 128"),
    ],
)
def test_few_pairs_are_pretrained_on_with_a_smaller_batch(here: Path, pairs: int, generator: str, flags: str) -> None:
    folders.plan(pairs=pairs, generator={"name": generator, "sha256": "a" * 64}).save(here / "pairs")
    assert " ".join(pretrain_on(Path("pairs"))) == f"pretrain --pairs pairs/ {flags}".strip()
    dataset = "digits" if generator == "digits" else "photos/"
    assert " ".join(pretrain_on_images(dataset, pairs)) == f"pretrain --dataset {dataset} {flags}".strip()


@pytest.mark.parametrize(
    ("transform", "option", "value"),
    [("none", "--std", 0.1), ("gaussian", "--navigator", "x"), ("random", "--walk", "x"), ("gaussian", "--std", 0.1)],
)
def test_an_option_without_effect_gets_a_warning(here: Path, transform: str, option: str, value: object) -> None:
    outcome = copgen("sample", "--generator", "digits", "--n", 4, "--transform", transform, option, value, "--dry-run")
    assert outcome.code == 0, outcome.err
    idle = (transform, option) != ("gaussian", "--std")
    assert any(option in line and transform in line for line in outcome.err.splitlines() if "Warning" in line) is idle


def test_an_unknown_header_of_a_navigator_gives_no_settings(here: Path) -> None:
    made_by = {"generator": "digits", "settings": "none"}
    save_navigator(here / "T_z.safetensors", new_navigator(64, prior=Prior(), seed=0), made_by=made_by)
    assert resolved("sample", "--navigator", "T_z.safetensors", "--n", 2)["generator"] == "digits"


def test_sample_needs_no_navigator_without_one_in_use(here: Path, weights: Path) -> None:
    settings = resolved("sample", "--n", 10, "--tz", "gaussian", "--std", 0.3, "--weights", weights)
    assert (settings["transform"], settings["std"]) == ("gaussian", 0.3)


CHOICES = [
    ("navigate", "--anchors", NavigateSettings, "anchors"),
    ("navigate", "--update", NavigateSettings, "update"),
    ("sample", "--transform", SampleSettings, "transform"),
    ("pretrain", "--optimizer", PretrainSettings, "optimizer"),
]


@pytest.mark.parametrize(("command", "flag", "model", "field"), CHOICES)
def test_an_option_offers_exactly_what_its_setting_takes(command: str, flag: str, model: Any, field: str) -> None:
    names = sorted(get_args(model.model_fields[field].annotation))
    outcome = copgen(command, flag, "zzz", "--json")
    assert outcome.document["error"]["fix"] == f"Known: {', '.join(names)}."


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("navigate", "generator = 5"),
        ("navigate", "navigate = 5"),
        ("navigate", 'samples = "20k"'),
        ("navigate", "betas = 0.5"),
        ("sample", "generator = [1]"),
        ("sample", "transform = 7"),
        ("sample", "navigator = {}"),
        ("sample", "weights = 1"),
        ("pretrain", "dataset = true"),
        ("pretrain", "pairs = 3"),
        ("eval linear", "ckpt = 3"),
        ("navigate", "nonsense"),
    ],
)
def test_a_config_file_with_a_value_of_a_wrong_type_is_refused(
    walk: Any, command: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(walk[0])
    (tmp_path / "wrong.toml").write_text(line)
    outcome = copgen(*command.split(), "--config", tmp_path / "wrong.toml")
    assert outcome.code == 2, outcome.err
    assert "wrong.toml" in outcome.err


@pytest.mark.parametrize(
    "command", [("navigate", "--steps", 128), ("sample", "--n", 4, "--tz", "none")], ids=lambda c: c[0]
)
@pytest.mark.parametrize("name", ["bf16", "bfloat16"])
def test_precisions_have_one_spelling_and_a_short_one(
    here: Path, weights: Path, command: tuple[object, ...], name: str
) -> None:
    outcome = copgen(*command, "--weights", weights, "--precision", name, "--dry-run")
    assert outcome.code == 2
    assert "bfloat16" in outcome.err  # flows refuse it


def test_flags_of_format_and_filter_reach_the_settings(here: Path, weights: Path) -> None:
    words = ("sample", "--weights", weights, "--n", 4, "--tz", "gaussian", "--format", "jpg", "--quality", 80)
    found = resolved(*words, "--max-d", 0.9, "--min-d", 0.01, "--attempts", "1k", "--encoders", 0)
    assert (found["image_format"], found["quality"], found["encoders"]) == ("jpg", 80, 0)
    assert (found["min_d"], found["max_d"], found["attempts"]) == (0.01, 0.9, 1000)


def test_a_filtered_run_reports_its_rejected_draws(here: Path, weights: Path) -> None:
    words = ("sample", "--weights", weights, "--n", 30, "--tz", "gaussian", "--min-d", 0.2, "--out", "pairs")
    outcome = copgen(*words, "--json")
    assert outcome.code == 0
    assert outcome.document["rejected"] > 0
    assert f"rejected  {outcome.document['rejected']} draws" in copgen(*words).out
    hopeless = copgen(*words[:-4], "--min-d", 5, "--attempts", 2, "--out", "never")
    assert hopeless.code == 2
    assert "d >= 5" in hopeless.err


@pytest.mark.parametrize(
    ("words", "field", "value", "old", "new"),
    [
        (("navigate", "--memory", "save"), "activation_checkpointing", True, "--memory", "--activation-checkpointing"),
        (("navigate", "--stop", "turn"), "stop", "loss-turn", "--stop turn", "--stop loss-turn"),
        (("sample", "--n", 4, "--tz", "none"), "transform", "none", "--tz", "--transform"),
        (
            ("sample", "--n", 4, "--transform", "none", "--format", "webp"),
            "image_format",
            "webp",
            "--format",
            "--image-format",
        ),
        (
            ("navigate", "--objective", "steering", "--lr-navigator", 0.01, "--samples", 64),
            "lr",
            0.01,
            "--lr-navigator",
            "--lr",
        ),
    ],
    ids=lambda case: case[-2] if isinstance(case, tuple) else "",
)
def test_a_former_name_is_accepted_with_one_warning(
    here: Path, weights: Path, words: tuple[object, ...], field: str, value: object, old: str, new: str
) -> None:
    outcome = copgen(*words, "--generator", "digits", "--weights", weights, "--dry-run", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["settings"][field] == value
    told = [line for line in outcome.err.splitlines() if line.startswith("Warning")]
    assert len(told) == 1
    assert told[0].index(old) < told[0].rindex(new)


def test_former_names_in_a_file_get_a_warning_and_aliases_do_not(here: Path, weights: Path) -> None:
    Path("mine.toml").write_text('steps = 128\nbatch = 64\nmemory = "keep"\n')
    outcome = copgen("navigate", "--weights", weights, "--config", "mine.toml", "--dry-run", "--json")
    settings = outcome.document["settings"]
    assert (settings["samples"], settings["activation_checkpointing"]) == (128, False)
    assert [("mine.toml" in line, "memory" in line) for line in outcome.err.splitlines() if "Warning" in line] == [
        (True, True)
    ]


def test_a_length_beats_the_other_lengths_of_lower_layers(here: Path, weights: Path) -> None:
    Path("mine.toml").write_text("updates = 3\nbatch = 50\n")
    words = ("navigate", "--weights", weights, "--config", "mine.toml")
    assert resolved(*words)["samples"] == 150  # beats the samples of the recipe
    assert resolved(*words, "--samples", 100)["samples"] == 100
    Path("both.toml").write_text("updates = 3\nsamples = 600\n")
    outcome = copgen("navigate", "--weights", weights, "--config", "both.toml", "--dry-run")
    assert outcome.code == 2
    assert all(word in outcome.err for word in ("both.toml", "samples", "updates"))


@pytest.mark.parametrize(("words", "value"), [("--no-cache", False), ("--cache", True), ("", True)])
def test_what_is_on_can_be_switched_off(words: str, value: bool, here: Path) -> None:
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    save_encoder(Path("encoder.safetensors"), build("digits", 1), config, {})
    assert resolved("eval", "knn", "--ckpt", "encoder.safetensors", *words.split())["cache"] is value
