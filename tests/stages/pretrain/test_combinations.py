"""Every method on every kind of data, and every loader: they train, and an interrupted run ends as a straight one."""

from __future__ import annotations

from pathlib import Path

import pytest

from copgen.data import pairs as data_pairs
from copgen.methods.defaults import DEFAULTS
from copgen.stages.pretrain.stage import pretrain
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from copgen.views.dali import is_installed
from tests.generators import own
from tests.shared_data import shared
from tests.stages.pretraining import ARTEFACT, as_stage, pretrain_settings
from tests.stages.small import assert_same_run, interrupted, metrics

N = 24
GAN = """
import torch
from torch import nn

class Generator(nn.Module):
    latent_dim, image_size, channels = 8, 64, 3

    def __init__(self):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(8, 6 * 16, generator=draw))
        self.last = nn.Parameter(torch.randn(3, 6, 3, 3, generator=draw) / 5)

    def forward(self, z):
        small = (z @ self.first).view(-1, 6, 4, 4)
        large = nn.functional.interpolate(small, size=64, mode="bilinear")
        return torch.tanh(nn.functional.conv2d(large, self.last, padding=1))

    def sample_condition(self, indices, seed):
        return None

make = Generator
"""


@pytest.fixture(scope="module")
def gan_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of a plug-in GAN at 64 x 64 in colour, two positives each."""
    folder = tmp_path_factory.mktemp("gan")
    with pytest.MonkeyPatch.context() as patch:
        own.install(folder / "site", patch, "colour_gan", GAN, "colours = colour_gan:make")
        fields = {"generator": "colours", "n": N, "batch": 8, "transform": "gaussian", "positives": 2, "device": "cpu"}
        sample(SampleSettings.model_validate(fields), out=folder / "pairs")
    return folder / "pairs"


def on_gan(folder: Path, **changes: object) -> dict[str, object]:
    own_of = dict.fromkeys(("temperature", "projector"))
    return {"pairs": folder, "batch": 8, "updates": 2, "views": "simclr", "lr": 0.01, **own_of, **changes}


@pytest.mark.parametrize("method", [*DEFAULTS])
def test_every_method_trains_on_pairs_of_a_gan_in_colour(gan_pairs: Path, tmp_path: Path, method: str) -> None:
    several = {"positives": 2} if method == "supcon" else {}
    queue = {"queue": 32} if "queue" in type(DEFAULTS[method]).model_fields else {}
    settings = pretrain_settings(gan_pairs, **on_gan(gan_pairs, method=method, **several, **queue))
    summary = pretrain(settings, out=tmp_path)
    assert summary["pairs"] == N
    assert (tmp_path / ARTEFACT).exists()
    assert all(line["loss"] < 20 for line in metrics(tmp_path))


REAL = [("mnist", method, 54_000) for method in DEFAULTS] + [("cifar10-jpeg", "simclr", 45_000)]


@pytest.mark.parametrize(("data", "method", "images"), REAL)
def test_every_method_trains_on_real_images(tmp_path: Path, data: str, method: str, images: int) -> None:
    queue = {"queue": 32} if "queue" in type(DEFAULTS[method]).model_fields else {}
    fields = {**on_gan(tmp_path, pairs=None, method=method, **queue), "views": "mnist"}
    summary = pretrain(pretrain_settings(tmp_path, dataset=str(shared(f"data/{data}")), **fields), out=tmp_path / "run")
    assert summary["pairs"] == images


@pytest.mark.parametrize("loader", ["torch", "dali", "torchvision"])
def test_a_run_with_any_loader_resumes_bit_for_bit(
    gan_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str
) -> None:
    if loader == "dali" and not is_installed():
        pytest.skip("DALI is not installed")
    monkeypatch.setattr(data_pairs, "MOST_IMAGES", 0)
    fields = on_gan(gan_pairs, updates=4, loader=loader, workers=2, checkpoint_every=2)
    settings = pretrain_settings(gan_pairs, **fields)
    pretrain(settings, out=tmp_path / "straight")
    interrupted(as_stage(settings), tmp_path / "run", [8, 24])
    assert_same_run(tmp_path / "run", tmp_path / "straight", ARTEFACT)


def test_chunks_resume_bit_for_bit(gan_pairs: Path, tmp_path: Path) -> None:
    settings = pretrain_settings(gan_pairs, **on_gan(gan_pairs, updates=4, chunk=3, method="byol"))
    pretrain(settings, out=tmp_path / "straight")
    interrupted(as_stage(settings), tmp_path / "run", [16])
    assert_same_run(tmp_path / "run", tmp_path / "straight", ARTEFACT)
