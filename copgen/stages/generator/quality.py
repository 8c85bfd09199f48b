"""Quality of a generator: how its samples lie among the real images, in the space of pixels, which needs no weights.

Precision and recall tell how many samples are like real images, and how many real images are like samples. If the
dataset has classes, a vote of the nearest real images tells the class of each sample; how far that can be trusted is
its accuracy on real images. The generator is judged by the images that `copgen sample` makes with seed 0.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from copgen.evaluation.generated_digits import judge_digits
from copgen.evaluation.generation.manifolds import manifolds
from copgen.evaluation.neighbours import knn_ranked
from copgen.evaluation.spaces.pixels import Pixels
from copgen.generators.protocol import Generator
from copgen.pairs.pixels import from_uint8
from copgen.runtime import philox
from copgen.stages.generator.image_settings import FitImagesSettings
from copgen.stages.generator.images import TrainingImages, open_split, read_pixels

SAMPLES = 4000
COMPARED = 2000  # real images and samples of precision and recall
BANK = 20_000  # real images that vote
NEIGHBOURS = 5


@torch.no_grad()
def assess(G: Generator, settings: FitImagesSettings, training: TrainingImages) -> dict[str, Any]:
    """Quality metrics.

    Returns:
        `quality`: `precision` and `recall` of samples among training images, and those of held-out real images, for
            comparison; with classes also `neighbour_accuracy`, of the vote on held-out images, and
            `confident_share`, of samples of digits (`judge_digits`).
        `class_shares`: the share of each class among the samples by that vote, by its name; only with classes.
    """
    device = training.pixels.device
    space = Pixels(device)
    z = G.sample_prior(range(SAMPLES), 0)
    samples = torch.cat([G(some) for some in torch.split(z, 256)])
    order = philox.permutation(settings.seed, len(training.pixels), stream=f"{settings.stream}/quality")
    real = space(from_uint8(training.pixels[order[:COMPARED].to(device)]))
    held_out, labels = held_out_images(settings, device)
    found = manifolds(real, space(samples[:COMPARED]))
    quality = {"precision": found.precision, "recall": found.recall}
    if len(held_out) > NEIGHBOURS:
        reference = manifolds(real, space(from_uint8(held_out[:COMPARED])))
        quality |= {"precision_real": reference.precision, "recall_real": reference.recall}
    summary: dict[str, Any] = {"quality": quality}
    if training.labels is not None:
        some = order[:BANK]
        bank, voters = ink(from_uint8(training.pixels[some.to(device)])), training.labels[some]
        count = len(training.classes)

        def classes_of(images: Tensor) -> Tensor:
            return knn_ranked(bank, voters, ink(images), ks=(NEIGHBOURS,), classes=count, most=1)[NEIGHBOURS][:, 0]

        if labels is not None and len(held_out):
            right = classes_of(from_uint8(held_out)) == labels
            quality["neighbour_accuracy"] = float(right.double().mean())
        shares = classes_of(samples).bincount(minlength=count).double() / SAMPLES
        summary["class_shares"] = dict(zip(training.classes, shares.tolist(), strict=True))
    if settings.dataset == "digits" and samples.shape[1:] == (1, 8, 8):
        quality |= judge_digits(samples)
    return summary


def ink(images: Tensor) -> Tensor:
    """Features (N, C S S) whose cosines compare images (N, C, S, S) in [-1, 1]: 0 is black."""
    return (images.flatten(1) + 1.0) / 2.0


def held_out_images(settings: FitImagesSettings, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Random validation images (N, C, S, S), uint8, and their classes; N is 0 if they were used in training."""
    source = open_split(settings, "validation")
    if settings.split != "train":
        return read_pixels(settings, source, items=torch.arange(0)).to(device), None
    few = philox.permutation(settings.seed, len(source), stream=f"{settings.stream}/held-out")[:SAMPLES]
    pixels = read_pixels(settings, source, items=few)
    return pixels.to(device), None if source.labels is None else source.labels[few]
