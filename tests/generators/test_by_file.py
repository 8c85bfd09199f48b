"""A generator by its file or run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from copgen.generators import by_file, entry
from copgen.generators.registry import embedded_weights
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.eval.settings.generator import EvalGeneratorSettings
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.sample.settings import SampleSettings
from copgen.storage.tensors import save_tensors
from tests.stages.small import write_flow


@pytest.mark.parametrize("word", ["runs/x", "./x", "x.safetensors", "/a/b.safetensors"])
def test_a_path_has_a_slash_or_the_ending(word: str) -> None:
    assert by_file.is_path(word)


@pytest.mark.parametrize("word", ["digits", "gan", "biggan-deep-128"])
def test_a_name_has_neither(word: str) -> None:
    assert not by_file.is_path(word)


def test_the_flow_that_ships_with_copgen_is_digits() -> None:
    path = embedded_weights("digits")
    assert by_file.named(str(path)) == ("digits", path)
    assert entry(str(path)) is entry("digits")


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path) -> None:
    file = write_flow(tmp_path / "generator.safetensors")
    assert by_file.named(str(tmp_path)) == ("digits", file)
    with pytest.raises(UsageError, match=r"missing/generator\.safetensors"):
        by_file.named(str(tmp_path / "missing"))


@pytest.mark.parametrize("header", [{}, {"name": "a/b"}, {"name": 3}, {"family": "other"}])
def test_a_file_that_names_no_generator_is_refused(tmp_path: Path, header: dict[str, object]) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {}, kind="generator", header=header)
    with pytest.raises(DataError, match=r"x\.safetensors"):
        by_file.named(str(path))


def test_settings_take_name_and_weights_from_it(tmp_path: Path) -> None:
    file = write_flow(tmp_path / "generator.safetensors")
    for model, more in ((NavigateSettings, {"samples": 64, "batch": 8}), (SampleSettings, {"n": 4})):
        settings = model.model_validate({"generator": str(tmp_path), **more})
        assert (settings.generator, settings.weights) == ("digits", file)
    scored = EvalGeneratorSettings.model_validate({"generator": str(tmp_path)})
    assert (scored.generator, scored.weights) == ("digits", file)


def test_other_weights_beside_it_are_refused(tmp_path: Path) -> None:
    write_flow(tmp_path / "generator.safetensors")
    with pytest.raises(UsageError, match=r"other\.safetensors"):
        NavigateSettings.model_validate({"generator": str(tmp_path), "weights": "other.safetensors"})


def test_a_file_of_another_kind_says_what_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_tensors(path, {}, kind="encoder", header={})
    assert not by_file.is_generator(str(path))
    with pytest.raises(DataError, match="'encoder', not of 'generator'") as caught:
        by_file.named(str(path))
    assert "copgen generator fit" in caught.value.fix
