"""Every latent transform and every recipe over every generator, as narrow networks with random weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from copgen import generators, pairs
from copgen.latents.navigator import load_navigator_with_header, new_navigator, save_navigator
from copgen.latents.walks import Walk, save_walk
from copgen.runtime.errors import UsageError
from copgen.runtime.settings import build, resolve
from copgen.runtime.settings_files import read_recipe, recipe_names
from copgen.stages.generator.gan.settings import STAGE, FitGanSettings
from copgen.stages.generator.residual_flow.settings import STAGE as FLOW_STAGE
from copgen.stages.generator.residual_flow.settings import FitResidualFlowSettings
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import navigate
from copgen.stages.navigate.steering_settings import SteeringSettings
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.sample.settings import SampleSettings, Transform
from copgen.stages.sample.stage import sample
from copgen.stages.sample.transform import build_transform
from copgen.storage.files import sha256_of
from tests.generators import narrow
from tests.stages.small import Recorder

TRANSFORMS: tuple[str, ...] = get_args(Transform)
STOCHASTIC = [name for name in TRANSFORMS if name not in ("none", "optimal")]
GENERATORS = ("digits", *narrow.NAMES)
CONDITIONAL = ("biggan-deep-128", "icgan-128")


@pytest.fixture(scope="module")
def files(flow: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    published = {name: narrow.published(name, tmp_path_factory.mktemp(name)) for name in narrow.NAMES}
    return {"digits": flow, **published}


@pytest.fixture(scope="module")
def trained(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with a navigator of the generator, two snapshots, and a walk."""
    folders: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in folders:
            folders[name] = place = tmp_path_factory.mktemp(f"trained-{name}")
            G = generators.load(name, weights=files[name])
            made_by = {"generator": name, "weights_sha256": G.weights_sha256}
            for seed, file in enumerate(("snapshots/samples-1", "snapshots/samples-2", "navigator")):
                navigator = new_navigator(G.latent_dim, prior=G.prior, seed=seed)
                save_navigator(place / f"{file}.safetensors", navigator, made_by=made_by)
            save_navigator(place / "snapshots" / "samples-3.safetensors", navigator, made_by=made_by)
            walk = Walk("edits", G.latent_dim, channels=G.channels)
            walk.directions.data.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
            save_walk(place / "walk.safetensors", walk, made_by=made_by)
        return folders[name]

    return folder


def choice(name: str, files: dict[str, Path], place: Path, **changes: Any) -> dict[str, Any]:
    fields = {"generator": name, "weights": files[name], "navigator": place, "walk": place, "device": "cpu"}
    if changes.get("transform") == "nearest":
        fields |= {"features": "pixels", "pool": 6}
        fields |= {"condition_list": (0, 2, 5)} if name in CONDITIONAL else {}
    return {**fields, "n": 3, "batch": 2, **changes}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", GENERATORS)
def test_every_transform_makes_pairs_of_every_generator(
    name: str, transform: str, files: dict[str, Path], trained: Callable[[str], Path], tmp_path: Path
) -> None:
    several = 1 if transform == "none" else 2
    settings = SampleSettings.model_validate(choice(name, files, trained(name), transform=transform, positives=several))
    events = Recorder()
    sample(settings, out=tmp_path, events=events)
    assert pairs.verify(tmp_path, "full") == []
    read = list(pairs.read(tmp_path))
    plan = pairs.Plan.load(tmp_path)
    assert (plan.transform.name, plan.positives) == (transform, several)
    G = generators.load(name, weights=files[name])
    assert bool(events.warnings) == (transform == "random" and G.condition_kind is None)
    for pair in read:
        assert len(pair.positives) == several
        assert torch.equal(pair.positive, pair.anchor) == (transform == "none")
        if several > 1:
            assert not torch.equal(pair.positives[0], pair.positives[1])
            assert len(pair.metadata["d_positives"]) == 2
            assert pair.metadata["d"] == pair.metadata["d_positives"][0]
    if transform != "none":  # the first does not depend on how many follow
        one = SampleSettings.model_validate(choice(name, files, trained(name), transform=transform))
        sample(one, out=tmp_path / "one")
        for pair, alone in zip(read, pairs.read(tmp_path / "one"), strict=True):
            assert torch.equal(pair.positive, alone.positive)


@pytest.mark.parametrize("recipe", recipe_names())
@pytest.mark.parametrize("name", GENERATORS)
def test_every_recipe_navigates_every_generator(
    name: str, recipe: str, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copgen.stages.navigate.previews.PAIRS", 1)
    G = generators.load(name, weights=files[name])
    small: dict[str, Any] = {"generator": name, "weights": files[name], "samples": 2, "batch": 2, "device": "cpu"}
    small |= {"encoder": "digits", "projector": (8, 4), "views": "mnist" if G.channels == 1 else "simclr"}
    tree = read_recipe(recipe)["navigate"]
    # What only some generators have is left to these.
    flow, conditional = name in ("digits", "residual-flow-mnist"), G.condition_kind is not None
    foreign = {"prior", "truncation_scale", "truncation_threshold"} if flow else {"inverse"}
    foreign |= {"inverse"} if name == "digits" else set()
    foreign |= set() if conditional else {"conditions"}
    supervised = tree.get("objective") == "sup_con"
    small |= {"classes": 1} if supervised else {}  # of both images
    kept = {key: value for key, value in tree.items() if key not in foreign}
    settings = build(NavigateSettings, {**kept, **small}, origin=recipe)
    if supervised and not conditional:
        with pytest.raises(UsageError, match=f"'{name}'.*'info_nce'"):
            navigate(settings, out=tmp_path / "run")
        return
    summary = navigate(settings, out=tmp_path / "run")
    assert summary["updates"] == 1


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_table_of_a_recipe_resolves_and_every_value_has_its_source(recipe: str) -> None:
    models: dict[str, Any] = {"navigate": NavigateSettings, "sample": SampleSettings, "pretrain": PretrainSettings}
    tables = read_recipe(recipe)
    models |= {"steering": SteeringSettings, STAGE: FitGanSettings, FLOW_STAGE: FitResidualFlowSettings}
    needed = {"pretrain": {}, STAGE: {"dataset": "digits"}, FLOW_STAGE: {"dataset": "digits"}}
    for stage, model in models.items():
        if stage in tables:
            flags = needed.get(stage, {"generator": "digits"})
            settings: Any = resolve(model, stage, recipe=recipe, config=None, flags=flags)
            assert settings.tree().keys() >= tables[stage].keys()
    from importlib import resources

    text = (resources.files("copgen") / "recipes" / f"{recipe}.toml").read_text("utf-8")
    unsourced = [
        line
        for line in text.splitlines()
        if "=" in line and not line.startswith(("#", "generator =")) and "#" not in line
    ]
    assert unsourced == []


@pytest.mark.parametrize("transform", STOCHASTIC)
def test_a_pair_is_a_function_of_seed_and_index(
    transform: str, files: dict[str, Path], trained: Callable[[str], Path], tmp_path: Path
) -> None:
    for out, shards in (("a", 3), ("b", 10_000)):
        fields = choice("digits", files, trained("digits"), transform=transform, n=7, positives=3, batch=3)
        sample(SampleSettings.model_validate({**fields, "pairs_per_shard": shards}), out=tmp_path / out)
    for one, other in zip(pairs.read(tmp_path / "a"), pairs.read(tmp_path / "b"), strict=True):
        assert one.metadata["d_positives"] == pytest.approx(other.metadata["d_positives"], abs=1e-5)
        for x, y in zip(one.positives, other.positives, strict=True):
            assert int((x.int() - y.int()).abs().max()) <= 1


def test_the_plan_has_all_that_decides_the_positives(
    files: dict[str, Path], trained: Callable[[str], Path], tmp_path: Path
) -> None:
    def plan(out: str, **changes: Any) -> dict[str, Any]:
        fields = choice("biggan-deep-128", files, trained("biggan-deep-128"), n=2, **changes)
        sample(SampleSettings.model_validate(fields), out=tmp_path / out)
        found: dict[str, Any] = json.loads((tmp_path / out / "plan.json").read_text())
        return found

    truncated = plan("a", transform="gaussian-truncated", std=0.2)["transform"]
    assert truncated["settings"] == {"std": 0.2, "threshold": 2.0, "effective_std": pytest.approx(0.176, abs=5e-4)}
    steered = plan("b", transform="steering")["transform"]
    assert steered["settings"] == {"form": "edits", "rotation_gain": 5.0}
    assert len(steered["sha256"]) == 64
    ring = plan("c", positives=3)["transform"]
    assert list(ring["settings"]) == ["snapshot_1", "snapshot_2"]  # samples-3 is the navigator itself
    dealt = plan("d", transform="none", conditions="balanced", condition_list=(4, 2))
    assert dealt["generator"]["settings"]["conditions"] == "balanced"
    assert dealt["generator"]["settings"]["condition_list"] == "4 2"
    assert sorted(pair.metadata["class"] for pair in pairs.read(tmp_path / "d")) == [2, 4]
    with pytest.raises(UsageError, match=r"condition_list is '4 2', not '4 3'"):
        plan("d", transform="none", conditions="balanced", condition_list=(4, 3))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"transform": "none", "positives": 2}, r"2 positives .*'none'.*Leave out --positives"),
        ({"positives": 4}, r"4 positives .* 2 snapshots .*--positives 3 or less"),
        ({"transform": "steering", "other": True}, r"The walk .* was trained on generator 'bigbigan' \(30 latent"),
        ({"other": True}, r"The navigator .* was trained on generator 'bigbigan' \(30 latent coordinates\), not on"),
    ],
    ids=["deterministic", "too few snapshots", "another's walk", "another's navigator"],
)
def test_invalid_transforms_are_refused_with_the_reason(
    changes: dict[str, Any], says: str, files: dict[str, Path], trained: Callable[[str], Path]
) -> None:
    place = trained("bigbigan" if changes.get("other") else "digits")
    given = {name: value for name, value in changes.items() if name != "other"}
    settings = SampleSettings.model_validate(choice("digits", files, place, **given))
    G = generators.load("digits", weights=files["digits"])
    with pytest.raises(UsageError, match=says):
        build_transform(settings, G, torch.device("cpu"))


def test_snapshots_after_the_chosen_navigator_are_left_out(
    files: dict[str, Path], trained: Callable[[str], Path], tmp_path: Path
) -> None:
    place = tmp_path / "stopped"
    shutil.copytree(trained("digits"), place)
    navigator, header = load_navigator_with_header(place / "navigator.safetensors")
    save_navigator(place / "navigator.safetensors", navigator, made_by={**header["made_by"], "summary": {"kept": 1}})
    G = generators.load("digits", weights=files["digits"])
    chosen = partial(choice, "digits", files, place)
    two = build_transform(SampleSettings.model_validate(chosen(positives=2)), G, torch.device("cpu"))
    assert two.source.settings == {"snapshot_1": sha256_of(place / "snapshots" / "samples-1.safetensors")}
    with pytest.raises(UsageError, match=r"3 positives .* 1 snapshots before it"):
        build_transform(SampleSettings.model_validate(chosen(positives=3)), G, torch.device("cpu"))


def test_a_navigator_without_snapshots_has_one_positive(
    files: dict[str, Path], trained: Callable[[str], Path], tmp_path: Path
) -> None:
    file = tmp_path / "alone.safetensors"
    file.write_bytes((trained("digits") / "navigator.safetensors").read_bytes())
    fields = {"generator": "digits", "weights": files["digits"], "navigator": file, "positives": 2, "n": 1}
    G = generators.load("digits", weights=files["digits"])
    with pytest.raises(UsageError, match=r"2 positives .* no snapshots.*--positives 1 or less"):
        build_transform(SampleSettings.model_validate(fields), G, torch.device("cpu"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"std": 0.0}, r"std = 0\.0"),
        ({"std": -1.0}, r"std = -1\.0"),
        ({"positives": 0}, "positives = 0"),
        ({"positives": 100}, "positives = 100"),
        ({"transform": "steer"}, "transform = 'steer'"),
        ({"rotation_gain": -1.0}, "rotation_gain"),
        ({"conditions": "fair"}, "conditions = 'fair'"),
        ({"condition_list": ()}, "condition_list"),
        ({"truncation_scale": 1.5}, r"truncation_scale = 1\.5"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(SampleSettings, {"generator": "digits", "n": 3, **changes}, origin="sample")


@pytest.mark.parametrize("name", ["digits", "residual-flow-mnist"])
def test_truncation_that_a_generator_does_not_know_is_refused(name: str, files: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="truncation"):
        generators.load(name, weights=files[name], truncation=0.5)


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("digits", {"blocks": (1,)}, "no latent block 1 in 'digits': it has one latent block, 0"),
        ("bigbigan", {"blocks": (0, 6)}, "no latent block 6 in 'bigbigan': it has 6 latent blocks, 0 to 5"),
        ("bigbigan", {"hidden_ratio": 31.0}, "hidden_ratio of 31 .* 30 coordinates"),
    ],
)
def test_a_navigator_that_the_generator_cannot_have_is_refused(
    name: str, changes: dict[str, Any], says: str, files: dict[str, Path], tmp_path: Path
) -> None:
    fields = {"generator": name, "weights": files[name], "samples": 2, "batch": 2, "encoder": "digits"}
    fields["views"] = "mnist" if name == "digits" else "simclr"
    settings = NavigateSettings.model_validate({**fields, "projector": (8, 4), "device": "cpu", **changes})
    with pytest.raises(UsageError, match=says):
        navigate(settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_navigator_of_blocks_is_learned_and_used(files: dict[str, Path], tmp_path: Path) -> None:
    fields = {"generator": "bigbigan", "weights": files["bigbigan"], "samples": 4, "batch": 2, "encoder": "digits"}
    fields |= {"projector": (8, 4), "device": "cpu", "form": "linear", "hidden_ratio": 2.0, "blocks": (1, 2)}
    navigate(NavigateSettings.model_validate(fields), out=tmp_path / "run")
    settings = SampleSettings.model_validate(choice("bigbigan", files, tmp_path / "run"))
    G = generators.load("bigbigan", weights=files["bigbigan"])
    (T_z,) = build_transform(settings, G, torch.device("cpu")).transforms
    z = G.sample_prior(range(5), 0)
    moved = T_z(z, None, range(5)) != z
    assert moved[0].nonzero()[:, 0].tolist() == list(range(5, 15))
