"""The plain recipe that reads pairs for pretraining: PNG files in folders, PIL transforms, DataLoader workers.

As in the authors' code (reimplemented): an anchor and its neighbour are opened with PIL, each gets torchvision's SimCLR
Aug. with random numbers of its own, and the DataLoader collates.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

from benchmarks.views import MEAN, STD


def transform(side: int, *, crop: bool = True, colour: bool = True) -> Callable[[Image.Image], Tensor]:
    """torchvision's transforms of a PIL image, with or without its parts."""
    crops = [T.RandomResizedCrop(side, scale=(0.2, 1.0)), T.RandomHorizontalFlip()]
    colours = [T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8), T.RandomGrayscale(p=0.2)]
    whole: Callable[[Image.Image], Tensor] = T.Compose(
        [*(crops if crop else []), *(colours if colour else []), T.ToTensor(), T.Normalize(MEAN, STD)]
    )
    return whole


class NeighbourFolder(Dataset[tuple[Tensor, Tensor]]):
    """Folders with an anchor and a positive each.

    Args:
        folder: of the folders.
        transform: of each image.
    """

    def __init__(self, folder: Path, transform: Callable[[Image.Image], Tensor]) -> None:
        self.files = [sorted(item.iterdir()) for item in sorted(folder.iterdir())]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        anchor, positive = (self.transform(_opened(path)) for path in self.files[index])
        return anchor, positive


def _opened(path: Path) -> Image.Image:
    """As torchvision's `pil_loader`."""
    with open(path, "rb") as stream:
        return Image.open(stream).convert("RGB")


def loader(data: NeighbourFolder, *, batch: int, workers: int) -> DataLoader[Any]:
    """The DataLoader; its workers stay between epochs, which is in its favour."""
    return DataLoader(
        data, batch_size=batch, shuffle=True, num_workers=workers, persistent_workers=True, drop_last=True
    )
