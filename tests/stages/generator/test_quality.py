"""The quality of a small GAN, judged on generators whose quality is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from copgen.data import digits
from copgen.data.tensor_images import TensorImages
from copgen.generators.small_gan.generator import SmallGan
from copgen.latents.prior import Prior
from copgen.pairs.pixels import levels
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


def test_held_out_images_are_of_all_classes_also_where_they_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in folders and in the tars of CIFAR-10: the first of them are of one class."""
    found = digits.load("validation")
    order = found.labels.argsort(stable=True)
    classes = tuple(map(str, range(10)))
    source = TensorImages(found.images[order], found.labels[order], classes=classes, inputs={})
    monkeypatch.setattr(module, "SAMPLES", 60)
    monkeypatch.setattr(module, "open_split", lambda *_: source)
    pixels, labels = module.held_out_images(SETTINGS, torch.device("cpu"))
    assert labels is not None
    assert (len(pixels), len(labels)) == (60, 60)
    assert len(set(labels[:40].tolist())) == 10
    assert len({tuple(image.flatten().tolist()) for image in pixels}) > 50
    everything = levels(source.images, rounding="nearest").flatten(1)
    of = [int(found.labels[order][(everything == image.flatten()).all(dim=1)][0]) for image in pixels]
    assert of == labels.tolist()


def test_without_held_out_images_there_is_no_reference(training: TrainingImages) -> None:
    whole = SETTINGS.replaced(split="train+validation")
    quality = assess(Copying(training[range(64)]), whole, training)["quality"]
    assert not {"precision_real", "neighbour_accuracy"} & quality.keys()
