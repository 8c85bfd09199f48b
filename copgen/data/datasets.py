"""The datasets by name, and any folder of images: `open_dataset`.

A name is looked up below the data root: the folder that the caller names, else the environment variable COPGEN_DATA,
else `data` in the user's cache. A folder is read as what it holds: IDX files as MNIST, batches as CIFAR-10, tars as
shards, else as images, in class folders or without classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from copgen.data import digits
from copgen.data.cifar10 import is_cifar10, open_cifar10
from copgen.data.data_root import data_root, find
from copgen.data.downloads import PublishedFile, cifar10_files, fetch, mnist_files
from copgen.data.image_files import ImageFiles
from copgen.data.image_folder import open_folder
from copgen.data.imagenet import imagenet100_classes, is_imagenet, open_imagenet
from copgen.data.mnist import is_mnist, open_mnist
from copgen.data.splits import AnySplit
from copgen.data.tar_shards import TarShards, open_shards, shards_of
from copgen.data.tensor_images import TensorImages
from copgen.pairs import layout
from copgen.runtime.environment import home_expanded
from copgen.runtime.errors import DataError, UsageError, unknown
from copgen.runtime.events import Events
from copgen.runtime.path_errors import path_errors
from copgen.runtime.urls import refuse_url

Images = TensorImages | ImageFiles | TarShards
Open = Callable[[Path, AnySplit], Images]


@dataclass(frozen=True)
class Dataset:
    """A known dataset.

    Attributes:
        about: what it is.
        licence: its terms.
        source: where to get it.
        places: names of its folder below the data root; "" is the root itself.
        fits: whether a folder holds it.
        open: a split of it, from its folder.
        channels: of its images.
        files: what can be downloaded; None: nothing, people must agree to terms first.
        recipe: the settings of experiments on it; None: there are none.
    """

    about: str
    licence: str
    source: str
    places: tuple[str, ...]
    fits: Callable[[Path], bool]
    open: Open
    channels: int
    files: Callable[[], list[PublishedFile]] | None = None
    recipe: str | None = None


HOME = "pass the whole path, or ./~ for a folder with this name"
_IMAGENET = ("", "imagenet", "ImageNet", "imagenet-1k", "imagenet1k", "ILSVRC2012")
DATASETS = {
    "digits": Dataset(
        about="1,797 handwritten digits of 8 x 8 pixels, grey, 10 classes",
        licence="CC BY 4.0 (UCI, Optical Recognition of Handwritten Digits)",
        source="part of scikit-learn",
        places=(),
        fits=lambda folder: False,
        open=lambda folder, split: digits.source(split),
        channels=1,
        recipe="digits",
    ),
    "mnist": Dataset(
        about="70,000 handwritten digits of 28 x 28 pixels, grey, 10 classes",
        licence="CC BY-SA 3.0",
        source="https://ossci-datasets.s3.amazonaws.com/mnist/ (downloaded when it is first used)",
        places=("mnist", "MNIST/raw", "MNIST", "mnist/raw", ""),
        fits=is_mnist,
        open=open_mnist,
        channels=1,
        files=mnist_files,
        recipe="residual-flow-mnist",
    ),
    "cifar10": Dataset(
        about="60,000 photos of 32 x 32 pixels, RGB, 10 classes",
        licence="none stated; from the 80 Million Tiny Images",
        source="https://www.cs.toronto.edu/~kriz/cifar.html (downloaded when it is first used)",
        places=("cifar10/cifar-10-batches-py", "cifar-10-batches-py", "cifar10", "cifar10-jpeg", ""),
        fits=is_cifar10,
        open=open_cifar10,
        channels=3,
        files=cifar10_files,
    ),
    "imagenet": Dataset(
        about="ImageNet-1K (ILSVRC2012): 1.28M photos, RGB, 1,000 classes",
        licence="non-commercial research and education only, by agreement",
        source="https://image-net.org/download.php (registration)",
        places=_IMAGENET,
        fits=is_imagenet,
        open=open_imagenet,
        channels=3,
    ),
    "imagenet100": Dataset(
        about="100 classes of ImageNet-1K, the list of CMC, GenRep and COP-Gen",
        licence="that of ImageNet",
        source="the tree of ImageNet-1K, or one of these 100 classes",
        places=("imagenet100", "ImageNet100", "imagenet-100", *_IMAGENET),
        fits=is_imagenet,
        open=lambda folder, split: open_imagenet(folder, split, only=imagenet100_classes()),
        channels=3,
    ),
}


@path_errors()
def open_dataset(
    dataset: str | Path, split: AnySplit, *, root: Path | None = None, events: Events | None = None
) -> Images:
    """A split of a dataset, as a source of images with labels.

    Args:
        dataset: a name of `DATASETS`, or a folder. A folder in the current one with the name of a dataset is given as
            './mnist'.
        split: train, validation, test, or train+validation, which are disjoint and complete together.
        root: the data root, for a name; None: COPGEN_DATA, else the user's cache.
        events: receives the progress of a download, and is told what takes seconds to open.

    Raises:
        UsageError: neither a name nor a folder, a URL, a folder of pairs, or no such split.
        DataError: not found, empty, or damaged; the error names the file.
        EnvironmentFault: a download failed, and the error names the address and where to put the file; or `~` stands
            for no home folder.
    """
    if str(dataset) in DATASETS:
        return _open_named(str(dataset), split, root, events)
    refuse_url(dataset)
    folder = home_expanded(str(dataset), HOME)
    if not folder.is_dir():
        if "/" in str(dataset):
            raise DataError(f"There is no folder {folder}.", fix="Check the path.")
        raise unknown("dataset", str(dataset), DATASETS)
    return _opened(opener_of(folder), folder, split, events)


def opener_of(folder: Path) -> Open:
    """The function that reads a folder, by what it holds.

    Raises:
        UsageError: it is a pairs folder.
    """
    if (folder / layout.PLAN).is_file():
        raise UsageError(
            f"{folder} is a pairs folder.", fix="Use --pairs for training, and `copgen show` to look at it."
        )
    if is_mnist(folder):
        return open_mnist
    if is_cifar10(folder):
        return open_cifar10
    return open_shards if shards_of(folder) else open_folder


def channels_of(dataset: str | Path) -> int | None:
    """The channels of a dataset or folder, if they are known without reading images; None: they are not."""
    if str(dataset) in DATASETS:
        return DATASETS[str(dataset)].channels
    folder = home_expanded(str(dataset), HOME)
    read = opener_of(folder) if folder.is_dir() else None
    return next((known.channels for known in DATASETS.values() if known.open is read), None)


def place_of(name: str, root: Path | None = None) -> Path | None:
    """The folder of a known dataset below the data root; None if it is not there, or needs none."""
    known = DATASETS[name]
    return find(data_root(root), known.places, known.fits)


def _open_named(name: str, split: AnySplit, root: Path | None, events: Events | None) -> Images:
    known, root = DATASETS[name], data_root(root)
    if not known.places:
        return known.open(root, split)
    folder = find(root, known.places, known.fits)
    if folder is None and known.files is not None:
        fetch(name, known.files, root / name, events=events)
        folder = find(root, known.places, known.fits)
    if folder is None:
        raise DataError(
            f"'{name}' was not found in {root}.",
            fix=f"Get it from {known.source}, and name its folder with --data-root or COPGEN_DATA (docs/data.md).",
        )
    return _opened(known.open, folder, split, events)


def _opened(read: Open, folder: Path, split: AnySplit, events: Events | None) -> Images:
    """The split; the tars of CIFAR-10 take seconds, and are told."""
    return open_cifar10(folder, split, events=events) if read is open_cifar10 else read(folder, split)


def needs_labels(images: Images, dataset: str | Path, purpose: str) -> Images:
    """The images, if they have classes.

    Raises:
        UsageError: they have none; `purpose` says what needs them.
    """
    if images.labels is None:
        raise UsageError(
            f"{purpose} needs classes, and {dataset} has none.", fix="Put the images into one folder for each class."
        )
    return images
