"""The quality of a small GAN, judged on generators whose quality is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from copgen.generators.small_gan.generator import SmallGan
from copgen.latents.prior import Prior
from copgen.stages.generator import quality as module
from copgen.stages.generator.gan import FitGanSettings
from copgen.stages.generator.images import TrainingImages, load_images
from copgen.stages.generator.quality import assess

SETTINGS = FitGanSettings.model_validate({"dataset": "digits", "updates": 1, "batch": 8})


class Copies(nn.Module):
    """Paints one of some images for each latent."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images

    def forward(self, z: Tensor) -> Tensor:
        return self.images[(z[:, 0].abs() * 1e4).long() % len(self.images)]


class Copying(SmallGan):
    """A generator of copies."""

    def __init__(self, images: Tensor) -> None:
        nn.Module.__init__(self)
        self.name, self.latent_dim, self.prior, self.precision = "gan", 2, Prior(), "float32"
        self.network = Copies(images)  # type: ignore[assignment]


@pytest.fixture(scope="module")
def training() -> TrainingImages:
    return load_images(SETTINGS, torch.device("cpu"))


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLES", 600)
    monkeypatch.setattr(module, "judge_digits", lambda samples: {"confident_share": 0.5})


def test_copies_of_real_images_are_precise_and_have_all_classes(training: TrainingImages) -> None:
    found = assess(Copying(training[range(len(training.pixels))]), SETTINGS, training)
    quality = found["quality"]
    assert quality["precision"] > 0.95
    assert quality["neighbour_accuracy"] > 0.95
    assert quality["precision_real"] > 0.7
    assert quality["confident_share"] == 0.5
    assert list(found["class_shares"]) == [str(digit) for digit in range(10)]
    assert sum(found["class_shares"].values()) == pytest.approx(1.0)
    assert all(0.05 < share < 0.16 for share in found["class_shares"].values())


def test_copies_of_one_class_have_no_recall_and_that_class_alone(training: TrainingImages) -> None:
    assert training.labels is not None
    threes = training[range(len(training.pixels))]
    order = training._sampler[range(len(training.pixels))]
    found = assess(Copying(threes[training.labels[order] == 3]), SETTINGS, training)
    assert found["class_shares"]["3"] > 0.97
    assert found["quality"]["recall"] < 0.3


def test_noise_is_not_precise(training: TrainingImages) -> None:
    noise = 2.0 * torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 1.0
    assert assess(Copying(noise), SETTINGS, training)["quality"]["precision"] < 0.05


def test_without_held_out_images_there_is_no_reference(training: TrainingImages) -> None:
    whole = SETTINGS.replaced(split="train+validation")
    quality = assess(Copying(training[range(64)]), whole, training)["quality"]
    assert not {"precision_real", "neighbour_accuracy"} & quality.keys()
