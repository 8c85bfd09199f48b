"""One shard anew: the command that `verify` prints gives the same bytes as it stands, wherever the files lie."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import tomli_w
import torch

from copgen import generators, pairs
from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.latents.navigator import new_navigator, save_navigator
from copgen.latents.walks import Walk, save_walk
from copgen.pairs import layout
from copgen.pairs.store import open_store
from tests.cli.command import Outcome
from tests.cli.command import copgen as run
from tests.generators import narrow, own
from tests.pairs.trees import tree

Choices = Mapping[str, object]
DIGITS: dict[str, object] = {"generator": "digits", "weights": "../files/digits"}
NAVIGATED: dict[str, object] = {"transform": "optimal", "navigator": "../files/run"}
FILTERED: dict[str, object] = {
    "filter_encoder": "../files/encoder",
    "min_similarity": -0.9,
    "max_d": 0.5,
    "attempts": 7,
}
FLOW: dict[str, object] = {
    "generator": "residual-flow-mnist",
    "weights": "../files/residual-flow-mnist/mnist_resflow_16-16-16.pth",
}
BIGBIGAN: dict[str, object] = {"generator": "bigbigan", "weights": "../files/bigbigan/BigBiGAN_x1.pth"}
DEEP: dict[str, object] = {
    "generator": "biggan-deep-128",
    "weights": "../files/biggan-deep-128/biggan-deep-128-pytorch_model.bin",
}
ICGAN: dict[str, object] = {
    "generator": "icgan-128",
    "weights": "../files/icgan-128/icgan_biggan_imagenet_res128",
    "instances": "../files/stored_instances/imagenet_res128_rn50_kmeans_instance_features.npy",
}
CASES: dict[str, Choices] = {
    "digits with a navigator": DIGITS | NAVIGATED,
    "its snapshots": DIGITS | NAVIGATED | {"positives": 3, "seed": 7},
    "digits with a walk": DIGITS | {"transform": "steering", "walk": "../files/run", "rotation_gain": 2.0},
    "digits with neighbours": DIGITS | {"transform": "nearest", "features": "../files/encoder", "pool": 30},
    "digits with neighbours in pixels": DIGITS | {"transform": "nearest", "features": "pixels", "pool": 30},
    "a filter": DIGITS | FILTERED | {"std": 0.1},
    "the file's own choices": DIGITS | {"image_format": "jpg", "quality": 80, "rounding": "truncate256"},
    "float64": DIGITS | {"precision": "float64", "threads": 2, "transform": "none"},
    "a flow's own inverse": FLOW,
    "a flow's other inverse": FLOW | {"inverse": "reference", "memory_format": "channels_last"},
    "another prior than the recipe's": BIGBIGAN | {"prior": "normal"},
    "another truncation than the recipe's": BIGBIGAN | {"truncation_scale": 0.5, "truncation_threshold": 1.5},
    "a generator's own prior": BIGBIGAN | {"precision": "bfloat16", "memory_format": "channels_last"},
    "classes drawn otherwise than by the recipe": DEEP | {"conditions": "uniform"},
    "some classes": DEEP | {"condition_list": [3, 1, 4], "truncation_scale": 0.4},
    "a prior that is normal and not its own": DEEP | {"prior": "normal"},
    "instances of one's own": ICGAN,
    "an IC-GAN with another prior": ICGAN | {"prior": "truncated_normal"},
    "a plug-in": {"generator": "blobs", "weights": "../files/blobs.pth", "memory_format": "channels_last"},
}


@pytest.fixture(scope="module")
def files(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of each family, and for the digits a navigator with snapshots, a walk and an encoder."""
    folder = tmp_path_factory.mktemp("one-shard") / "files"
    for name in narrow.NAMES:
        (folder / name).mkdir(parents=True)
        narrow.published(name, folder / name)
    narrow.stored_instances(folder, narrow.unit_rows(narrow.INSTANCES, seed=1))
    shutil.copy(weights, folder / "digits")
    G = generators.load("digits", weights=weights)
    made_by = {"generator": "digits", "weights_sha256": G.weights_sha256}
    # The last snapshot is the navigator itself.
    for seed, name in enumerate(("snapshots/samples-1", "snapshots/samples-2", "snapshots/samples-3", "navigator")):
        T_z = new_navigator(G.latent_dim, prior=G.prior, seed=min(seed, 2))
        save_navigator(folder / f"run/{name}.safetensors", T_z, made_by=made_by)
    save_walk(folder / "run/walk.safetensors", Walk("edits", G.latent_dim, channels=1), made_by=made_by)
    with pytest.MonkeyPatch.context() as patch:
        own.install_example(folder / "site", patch)
        state = generators.load("blobs").state_dict()
    torch.save({name.removeprefix("module."): tensor for name, tensor in state.items()}, folder / "blobs.pth")
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    save_encoder(folder / "encoder", build("digits", 1).eval(), config, {})
    return folder


@pytest.fixture
def elsewhere(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `made` in which pairs are made, beside the files, and one beside it that is the current one later."""
    (tmp_path / "files").symlink_to(files)
    (tmp_path / "made").mkdir()
    (tmp_path / "later").mkdir()
    monkeypatch.chdir(tmp_path / "made")
    return tmp_path


def make(choices: Choices, *words: object) -> Outcome:
    """Four pairs in two shards, in `pairs`, by a settings file."""
    small = {"n": 4, "pairs_per_shard": 2, "batch": 2, "device": "cpu", "transform": "gaussian"}
    Path("settings.toml").write_text(tomli_w.dumps({**small, **choices}))
    outcome = run("sample", "--config", "settings.toml", *words)
    assert outcome.code == 0, outcome.err
    return outcome


def flip(path: Path) -> bytes:
    """Change a byte in the middle of a file; what it was before."""
    before = path.read_bytes()
    half = len(before) // 2
    path.write_bytes(before[:half] + bytes([before[half] ^ 1]) + before[half + 1 :])
    return before


@pytest.mark.parametrize("case", CASES)
def test_what_verify_prints_makes_the_same_shard(case: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.install_example(elsewhere / "site", monkeypatch)
    make(CASES[case])
    monkeypatch.chdir(elsewhere / "later")
    damaged = layout.tar_path(Path("../made/pairs"), 1)
    manifest = Path("../made/pairs/manifest.json").read_bytes()
    before = flip(damaged)

    found = run("verify", "../made/pairs", "--json")
    assert found.code == 3
    (problem,) = found.document["problems"]
    assert problem["command"] == ["copgen", "sample", "--out", "../made/pairs/", "--only", "1"]
    outcome = run(*problem["command"][1:])
    assert outcome.code == 0, outcome.err
    assert "recorded hash" not in outcome.err
    assert damaged.read_bytes() == before
    assert Path("../made/pairs/manifest.json").read_bytes() == manifest
    assert pairs.verify(Path("../made/pairs"), "decode") == []


def test_files_are_found_where_they_were_and_named_where_they_are_now(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(DIGITS | NAVIGATED | FILTERED)
    noted = json.loads(Path("pairs/places.json").read_text())
    files = elsewhere / "files"
    assert noted["files"] == {
        "weights": str(files / "digits"),
        "navigator": str(files / "run"),
        "filter_encoder": str(files / "encoder"),
    }
    monkeypatch.chdir(elsewhere)
    again = run("sample", "--out", "made/pairs", "--only", 1)
    assert "with T_z of files/run, into made/pairs." in again.err
    files.rename(elsewhere / "moved")
    gone = run("sample", "--out", "made/pairs", "--only", 1)
    assert gone.code == 3
    said = " ".join(gone.err.split())
    assert all(part in said for part in ("made/pairs", "files/digits", "files/run"))
    assert "files/encoder" in said
    assert "--weights and --navigator and --filter-encoder" in said

    words = ("--navigator", "moved/run", "--weights", "moved/digits", "--filter-encoder", "moved/encoder")
    tar = elsewhere / "made/pairs/shards/shard-000001.tar"
    before = flip(tar)
    assert run("sample", "--out", "made/pairs", "--only", 1, *words).code == 0
    assert tar.read_bytes() == before
    # From now on they are found there.
    flip(tar)
    assert run("sample", "--out", "made/pairs", "--only", 1).code == 0
    assert tar.read_bytes() == before


def test_weights_that_the_environment_names_are_found_without_it(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = elsewhere / "own"
    shutil.copytree(elsewhere / "files/bigbigan", own)
    monkeypatch.setenv("COPGEN_WEIGHTS", str(own))
    make({"generator": "bigbigan"})
    monkeypatch.setenv("COPGEN_WEIGHTS", str(elsewhere / "none"))
    tar = layout.tar_path(Path("pairs"), 1)
    before = flip(tar)
    assert run("sample", "--only", 1).code == 0
    assert tar.read_bytes() == before

    own.rename(elsewhere / "moved")
    gone = run("sample", "--only", 1)
    assert (gone.code, str(own / "BigBiGAN_x1.pth") in " ".join(gone.err.split())) == (3, True)
    assert run("sample", "--only", 1, "--weights", elsewhere / "moved/BigBiGAN_x1.pth").code == 0


def test_files_are_found_of_pairs_in_an_object_store(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(DIGITS | NAVIGATED)
    make(DIGITS | NAVIGATED, "--out", "memory://one-shard/pairs")
    store = open_store("memory://one-shard/pairs")
    store.remove(layout.record_name(1))
    monkeypatch.chdir(elsewhere)
    assert run("sample", "--out", "memory://one-shard/pairs", "--only", 1).code == 0
    for name in (layout.tar_name(1), layout.MANIFEST, layout.PLACES):
        assert store.read(name) == (elsewhere / "made/pairs" / name).read_bytes()


def test_another_file_at_the_place_is_refused(elsewhere: Path) -> None:
    shutil.copytree(elsewhere / "files/run", "own")
    make(DIGITS | {"transform": "optimal", "navigator": "own"})
    shutil.copy("own/snapshots/samples-1.safetensors", "own/navigator.safetensors")
    outcome = run("sample", "--only", 1)
    assert outcome.code == 2
    assert "transform.sha256 is" in outcome.err


def test_a_folder_without_the_note_takes_the_usual_places(elsewhere: Path) -> None:
    make(DIGITS)
    Path("pairs/places.json").unlink()
    other = run("sample", "--only", 1)
    assert other.code == 2
    assert "generator.sha256" in other.err
    assert "--weights" in other.err
    assert run("sample", "--only", 1, "--weights", "../files/digits").code == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "JSON document"),
        ('{"format": 1, "files": {"weights": "digits"}}', "an absolute path of printable characters"),
        ('{"format": 1, "files": {"weights": "/a\\u001b[2J"}}', "an absolute path of printable characters"),
        ('{"format": 1, "files": {"engine": "/a"}}', "files"),
    ],
    ids=["broken", "relative", "unprintable", "unknown"],
)
def test_a_corrupt_record_of_paths_is_refused_by_only_and_nothing_else(elsewhere: Path, text: str, says: str) -> None:
    make(DIGITS)
    Path("pairs/places.json").write_text(text)
    assert run("verify").code == 0
    refused = run("sample", "--only", 1)
    assert refused.code == 3
    assert "pairs/places.json" in refused.err
    assert says in refused.err
    assert "Remove it" in refused.err
    make(DIGITS)  # the same command writes it again
    assert run("sample", "--only", 1).code == 0


def test_a_recomputed_shard_is_named_and_a_missing_one_refused(elsewhere: Path) -> None:
    make(DIGITS)
    outcome = run("sample", "--only", 1)
    assert "shard 1 " in outcome.err.splitlines()[0]
    assert "Next: copgen pretrain --pairs pairs/" in outcome.err
    absent = run("sample", "--only", 3)
    assert (absent.code, "0 to 1" in absent.err) == (2, True)
    nowhere = run("sample", "--only", 0, "--out", "nowhere")
    assert (nowhere.code, "nowhere/plan.json is missing" in nowhere.err) == (3, True)


def test_a_file_or_a_flag_that_says_otherwise_is_refused(elsewhere: Path) -> None:
    make(DIGITS | {"std": 0.1, "seed": 3})
    assert run("sample", "--only", 1, "--config", "settings.toml").code == 0
    for text, field in (("std = 0.7", "transform.settings.std"), ("max_d = 0.9", "filter"), ("n = 5", "pairs")):
        Path("other.toml").write_text(text)
        refused = run("sample", "--only", 1, "--config", "other.toml")
        assert (refused.code, field in refused.err) == (2, True), refused.err
    assert "seed is 3, not 4" in run("sample", "--only", 1, "--seed", 4).err
    broken = run("sample", "--only", 1, "--config", "other.toml", "--quality", 80)
    assert (broken.code, "png has no quality" in broken.err) == (2, True)
    both = run("sample", "--only", 1, "--recipe", "digits")
    assert (both.code, "--only and --recipe" in both.err) == (2, True)


def test_overwrite_removes_the_recorded_paths(elsewhere: Path) -> None:
    make(DIGITS)
    make({"generator": "digits"}, "--overwrite")
    assert not Path("pairs/places.json").exists()


def test_the_tree_of_an_import_is_named(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(Path("a set"), {"n01": 3}, shape=(1, 8, 8))
    assert run("import", "a set", "--pairs-per-shard", 2).code == 0
    tar = elsewhere / "made/pairs/shards/shard-000001.tar"
    before = flip(tar)
    assert "  fix     copgen import 'a set' --out pairs/ --only 1" in run("verify").out
    monkeypatch.chdir(elsewhere / "later")
    (problem,) = run("verify", "../made/pairs", "--json").document["problems"]
    assert run(*problem["command"][1:]).code == 0
    assert tar.read_bytes() == before
