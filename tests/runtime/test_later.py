"""Packages whose names come later have them all, say so, and refuse others."""

from __future__ import annotations

import importlib

import pytest

PACKAGES = (
    "copgen.pairs",
    "copgen.latents",
    "copgen.generators",
    "copgen.stages.navigate",
    "copgen.stages.sample",
    "copgen.stages.pretrain",
    "copgen.stages.eval",
    "copgen.stages.generator",
)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_is_there(name: str) -> None:
    package = importlib.import_module(name)
    assert set(package.__all__) <= set(dir(package))
    for each in package.__all__:
        found = getattr(package, each)
        assert not isinstance(found, type(package)), f"{each} is a module"
        assert getattr(found, "__name__", each) in (each, "Literal")


@pytest.mark.parametrize("name", PACKAGES)
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        importlib.import_module(name).nothing  # noqa: B018
