"""The plug-in of examples/plugin_gan: its code and settings, with a tiny network in place of the package's."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
import torch

from copgen import generators
from copgen.generators import plugins
from copgen.runtime.settings import resolve
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stage import navigate
from copgen.storage.files import sha256_of
from tests.generators import own
from tests.test_source import ROOT

EXAMPLE = ROOT / "examples/plugin_gan"
# The arguments, shapes and file of the package; the real one is not installed where tests run.
MODELS = """
from torch import nn

class Generator(nn.Module):
    def __init__(self, ngpu, nc, nz, ngf):
        super().__init__()
        self.main = nn.Sequential(nn.ConvTranspose2d(nz, nc, 4), nn.Upsample(scale_factor=16), nn.Tanh())

    def forward(self, input):
        return self.main(input)
"""
STATE = {"main.0.weight": (100, 3, 4, 4), "main.0.bias": (3,)}


def saved(path: Path, *, seed: int) -> Path:
    """A file of weights as the package's training script writes it."""
    draw = torch.Generator().manual_seed(seed)
    state = {name: 0.1 * torch.randn(shape, generator=draw) for name, shape in STATE.items()}
    torch.save({"netG_state_dict": state, "epoch": 3}, path)
    return path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the stand-in's weights; the plug-in is installed beside it, with the entry point of its project."""
    folder = tmp_path / "site"
    (folder / "gan_face_generate").mkdir(parents=True)
    (folder / "gan_face_generate/__init__.py").write_text("")
    (folder / "gan_face_generate/models.py").write_text(MODELS)
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["setuptools"]["py-modules"] == ["face_gan"]
    (entry,) = project["project"]["entry-points"]["copgen.generators"].items()
    for module in ("gan_face_generate", "gan_face_generate.models"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    own.install(folder, monkeypatch, "face_gan", (EXAMPLE / "face_gan.py").read_text("utf-8"), " = ".join(entry))
    return saved(folder / "gan_face_generate/weights.tar", seed=0)


def test_it_is_a_generator_with_the_weights_of_the_package(package: Path, tmp_path: Path) -> None:
    assert plugins.names() == ["face-gan"]
    G = generators.load("face-gan")
    z = G.sample_prior(range(3), 0)
    images = G(z)
    assert images.shape == (3, 3, 64, 64)
    assert G.prior.kind == "normal"
    other = generators.load("face-gan", weights=saved(tmp_path / "other.tar", seed=1))
    assert other.weights_sha256 == sha256_of(tmp_path / "other.tar")
    assert not torch.equal(other(z), images)
    assert torch.equal(generators.load("face-gan", weights=package)(z), images)


def test_its_settings_navigate_it(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copgen.stages.navigate.previews.PAIRS", 1)
    few = {"samples": 4, "batch": 2, "check_every": 2, "similarity": "pixels", "device": "cpu"}
    settings = resolve(NavigateSettings, "navigate", recipe="plugin", config=EXAMPLE / "face_gan.toml", flags=few)
    assert (settings.generator, settings.stop_rules) == ("face-gan", ("perceptual",))
    summary = navigate(settings, out=tmp_path / "run")
    assert summary["updates"] == 2
    assert (tmp_path / "run/navigator.safetensors").exists()
