"""What one would write instead of the evaluations: torchvision's transforms, `nn.Linear`, scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms as T
from torchvision.datasets import ImageFolder

from benchmarks.views import MEAN, STD
from copgen.encoders.resnet import ResNet

KINDS = 4  # classes in the folder
TEMPERATURE = 0.07


def photos(folder: Path, count: int, side: int) -> Path:
    """A folder of classes with JPEG images: smooth noise, so that files have the size of photos."""
    draw = np.random.default_rng(0)
    for number in range(count):
        place = folder / f"class-{number % KINDS}"
        place.mkdir(exist_ok=True)
        coarse = Image.fromarray(draw.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        coarse.resize((side, side + side // 4), Image.Resampling.BICUBIC).save(place / f"{number:06d}.jpg", quality=90)
    return folder


def labels_of(folder: Path) -> Tensor:
    """(N,) in the order of the files."""
    return torch.tensor(ImageFolder(folder).targets)


def linear_epoch(folder: Path, backbone: ResNet, size: int, *, rate: float, batch: int, classes: int) -> None:
    """An epoch of the authors' linear evaluation with one learning rate (reimplemented)."""
    crop = T.Compose([T.RandomResizedCrop(size, scale=(0.2, 1.0)), T.RandomHorizontalFlip(), *_normalised()])
    head = nn.Linear(backbone.feature_dim, classes)
    optimizer = torch.optim.SGD(head.parameters(), lr=rate, momentum=0.9)
    data = ImageFolder(folder, crop)
    for images, labels in _batches(data, torch.randperm(len(data)), batch):
        with torch.no_grad():
            features = backbone(images)
        loss = F.cross_entropy(head(features), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


def features(folder: Path, backbone: nn.Module, size: int, resize: int, *, batch: int) -> Tensor:
    """(N, D) of all images in order."""
    data = ImageFolder(folder, T.Compose([T.Resize(resize), T.CenterCrop(size), *_normalised()]))
    with torch.no_grad():
        return torch.cat([backbone(images) for images, _ in _batches(data, torch.arange(len(data)), batch)])


def knn(bank: Tensor, labels: Tensor, queries: Tensor, *, k: int, metric: str) -> np.ndarray:
    """The classes of queries by the same votes: exp(cosine / temperature)."""
    from sklearn.neighbors import KNeighborsClassifier

    def votes(distances: np.ndarray) -> np.ndarray:
        cosines = 1.0 - (distances if metric == "cosine" else 0.5 * distances**2)
        weights: np.ndarray = np.exp((cosines - 1.0) / TEMPERATURE)
        return weights

    model: Any = KNeighborsClassifier(k, weights=votes, algorithm="brute", metric=metric, n_jobs=1)
    unit: Callable[[Tensor], np.ndarray] = lambda rows: F.normalize(rows, dim=1).numpy()  # noqa: E731
    found: np.ndarray = model.fit(unit(bank), labels.numpy()).predict(unit(queries))
    return found


def _normalised() -> list[Callable[..., Any]]:
    return [T.ToTensor(), T.Normalize(MEAN, STD)]


def _batches(data: ImageFolder, order: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Collated by hand: a DataLoader without workers does no more."""
    for some in torch.split(order, batch):
        items = [data[item] for item in some.tolist()]
        yield torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])
