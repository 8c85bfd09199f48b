"""Navigate and sample over every family, as narrow networks with random weights in their published files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from copgen import generators, pairs
from copgen.latents import load_navigator
from copgen.pairs.pixels import to_uint8
from copgen.runtime.errors import UsageError
from copgen.runtime.settings import resolve
from copgen.runtime.settings_files import recipe_names
from copgen.stages.generator.inspect import inspect
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import navigate
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from tests.generators import narrow
from tests.stages.small import Recorder

CONDITIONS = {"biggan-deep-128": ("class", narrow.CLASSES), "icgan-128": ("instance", narrow.INSTANCES)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: narrow.published(name, tmp_path_factory.mktemp(name)) for name in narrow.NAMES}


def navigate_settings(name: str, weights: Path, **changes: Any) -> NavigateSettings:
    """The generator's recipe, but short and narrow."""
    small = {
        "weights": weights,
        "samples": 4,
        "batch": 2,
        "encoder": "digits",
        "projector": (8, 4),
        "device": "cpu",
        **changes,
    }
    return resolve(NavigateSettings, "navigate", recipe=name, config=None, flags=small)


@pytest.mark.parametrize("name", narrow.NAMES)
def test_a_navigator_is_learned_and_pairs_are_sampled_with_it(
    name: str, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copgen.stages.navigate.previews.PAIRS", 2)
    events = Recorder()
    settings_T = navigate_settings(name, files[name], lr_navigator=1e-2)
    summary = navigate(settings_T, out=tmp_path / "run", events=events)
    assert any("non-commercial" in sentence for sentence in events.sentences) is (name == "icgan-128")
    assert (summary["updates"], summary["ended_by"]) == (2, "samples")
    flags = {"weights": files[name], "navigator": tmp_path / "run", "n": 5, "batch": 2, "device": "cpu"}
    settings = resolve(SampleSettings, "sample", recipe=name, config=None, flags=flags)
    sample(settings, out=tmp_path / "pairs")
    assert pairs.verify(tmp_path / "pairs", "full") == []

    # As the recipe draws conditions: balanced, where there are some.
    G, T_z = settings.load_generator(torch.device("cpu")), load_navigator(tmp_path / "run")
    read = list(pairs.read(tmp_path / "pairs"))
    for start in (0, 2, 4):
        rows = range(start, min(start + 2, 5))
        z, condition = G.sample_prior(rows, 0), G.sample_condition(rows, 0)
        with torch.no_grad():
            anchors, positives = to_uint8(G(z, condition)), to_uint8(G(T_z(z), condition))
        for place, row in enumerate(rows):
            assert torch.equal(read[row].anchor, anchors[place])
            assert torch.equal(read[row].positive, positives[place])
            if name in CONDITIONS:
                key, count = CONDITIONS[name]
                assert condition is not None
                assert read[row].metadata[key] == int(condition[place])
                assert 0 <= read[row].metadata[key] < count
            else:
                assert set(read[row].metadata) == {"index", "d"}


def test_the_plan_holds_all_that_decides_the_images(files: dict[str, Path], tmp_path: Path) -> None:
    def settings(**changes: Any) -> SampleSettings:
        flags = {"weights": files["biggan-deep-128"], "transform": "none", "n": 2, "batch": 2, "device": "cpu"}
        return resolve(SampleSettings, "sample", recipe="biggan-deep-128", config=None, flags={**flags, **changes})

    sample(settings(truncation_scale=0.5), out=tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["generator"]["settings"]["truncation"] == 0.5
    assert plan["generator"]["settings"]["precision"] == "float32"
    assert plan["prior"] == {"name": "truncated_normal", "settings": {"scale": 0.5, "threshold": 2.0}}
    with pytest.raises(UsageError, match=r"generator\.settings\.truncation is 0\.5, not 0\.6"):
        sample(settings(truncation_scale=0.6), out=tmp_path)
    with pytest.raises(UsageError, match=r"generator\.settings\.precision is 'float32', not 'bfloat16'"):
        sample(settings(truncation_scale=0.5, precision="bfloat16"), out=tmp_path)


def test_other_instances_are_another_run(tmp_path: Path) -> None:
    folder = narrow.published("icgan-128", tmp_path)
    settings = navigate_settings("icgan-128", folder, samples=2)
    navigate(settings, out=tmp_path / "run")
    narrow.stored_instances(tmp_path, narrow.unit_rows(narrow.INSTANCES, seed=1))
    with pytest.raises(UsageError, match="sha256 of the instances"):
        navigate(settings, out=tmp_path / "run")


def test_pairs_may_be_sampled_from_imported_weights_with_a_navigator_of_the_published_ones(
    files: dict[str, Path], tmp_path: Path
) -> None:
    from copgen.stages.generator.import_weights import import_generator

    name = "residual-flow-mnist"
    navigate(navigate_settings(name, files[name], samples=2), out=tmp_path / "run")
    imported = tmp_path / "imported.safetensors"
    import_generator(name, files[name], out=imported)
    flags = {"weights": imported, "navigator": tmp_path / "run", "n": 2, "batch": 2, "device": "cpu"}
    sample(resolve(SampleSettings, "sample", recipe=name, config=None, flags=flags), out=tmp_path / "pairs")
    assert len(list(pairs.read(tmp_path / "pairs"))) == 2


@pytest.mark.parametrize("name", narrow.NAMES)
def test_inspect_says_what_it_is(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    found = inspect(name, weights=files[name], out=tmp_path / "sheet.png", device="cpu")
    G = generators.load(name, weights=files[name])
    assert found["image_shape"] == [G.channels, G.image_size, G.image_size]
    assert found["latent_dim"] == G.latent_dim
    assert found["condition"] == (CONDITIONS[name][0] if name in CONDITIONS else None)
    assert (tmp_path / "sheet.png").stat().st_size > 1000


@pytest.mark.parametrize("generator", generators.names())
def test_every_generator_has_a_recipe_that_resolves(generator: str) -> None:
    recipe = generators.entry(generator).recipe
    assert recipe in recipe_names()
    flags = {"generator": generator}
    for stage, model in (("navigate", NavigateSettings), ("sample", SampleSettings)):
        settings: Any = resolve(model, stage, recipe=recipe, config=None, flags=flags)
        assert settings.generator == generator


@pytest.mark.parametrize(
    ("name", "said", "kind"),
    [
        ("bigbigan", {"prior": "normal"}, "normal"),
        ("bigbigan", {"truncation_scale": 0.5}, "truncated_normal"),
        ("icgan-128", {"truncation_scale": 0.5}, "truncated_normal"),
        ("icgan-128", {"truncation_threshold": 1.5}, "truncated_normal"),
        ("biggan-deep-128", {"prior": "normal"}, "normal"),
    ],
    ids=str,
)
@pytest.mark.parametrize("by", ["flags", "file"])
def test_what_is_said_of_the_prior_beats_all_that_the_recipe_says_of_another(
    name: str, said: dict[str, Any], kind: str, by: str, files: dict[str, Path], tmp_path: Path
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(tomli_w.dumps(said if by == "file" else {}))
    for stage, model in (("navigate", NavigateSettings), ("sample", SampleSettings)):
        flags = {"weights": files[name], **(said if by == "flags" else {})}
        settings: Any = resolve(model, stage, recipe=name, config=config, flags=flags)
        prior = settings.load_generator(torch.device("cpu")).prior
        assert prior.kind == kind
        for field, value in said.items():
            assert field == "prior" or getattr(prior, field.removeprefix("truncation_")) == value


@pytest.mark.parametrize("recipe", [name for name in recipe_names() if name != "plugin"])
def test_a_truncation_leaves_what_it_does_not_contradict(recipe: str) -> None:
    flags = {"truncation_scale": 0.5}
    for stage, model in (("navigate", NavigateSettings), ("sample", SampleSettings)):
        plain: Any = resolve(model, stage, recipe=recipe, config=None, flags={})
        truncated: Any = resolve(model, stage, recipe=recipe, config=None, flags=flags)
        assert truncated.prior == (None if plain.prior == "normal" else plain.prior)
        assert truncated.truncation_threshold == plain.truncation_threshold


def test_a_truncation_and_a_normal_prior_are_refused(files: dict[str, Path]) -> None:
    flags = {"weights": files["bigbigan"], "prior": "normal", "truncation_scale": 0.5}
    with pytest.raises(UsageError, match="--truncation-scale and --prior normal"):
        resolve(SampleSettings, "sample", recipe="bigbigan", config=None, flags=flags)
