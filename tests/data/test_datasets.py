"""Datasets by name or folder: where they are looked for, downloads, and what is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from copgen.data import datasets, digits
from copgen.data.batches import batches
from copgen.data.datasets import DATASETS, channels_of, needs_labels, open_dataset, place_of
from copgen.data.downloads import PublishedFile, cifar10_files, mnist_files
from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from tests.data import made
from tests.pairs import folders
from tests.storage.servers import Manners, serving


def test_the_digits_need_nothing() -> None:
    source = open_dataset("digits", "train")
    known = digits.load("train")
    assert torch.equal(source.batch(torch.arange(9), torch.zeros(9), torch.device("cpu")), known.images[:9])  # type: ignore[union-attr]
    assert source.labels is not None
    assert torch.equal(source.labels, known.labels)
    assert source.inputs == {}  # runs of older versions have none
    assert len(open_dataset("digits", "train+validation")) == 1248 + 181


@pytest.mark.parametrize("place", ["mnist", "MNIST/raw", "mnist/raw", "MNIST", "."])
def test_a_name_is_looked_up_below_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    made.mnist(tmp_path / place)
    monkeypatch.setenv("COPGEN_DATA", str(tmp_path))
    assert len(open_dataset("mnist", "train+validation")) == 40
    assert place_of("mnist") == tmp_path / place
    monkeypatch.setenv("COPGEN_DATA", str(tmp_path / "elsewhere"))
    assert len(open_dataset("mnist", "train+validation", root=tmp_path)) == 40


def test_a_folder_is_read_as_what_it_holds(tmp_path: Path) -> None:
    made.mnist(tmp_path / "a")
    made.class_folders(tmp_path / "b")
    made.tar(tmp_path / "c" / "x.tar", {"1.png": made.image(0)})
    kinds = [type(open_dataset(tmp_path / name, "train")).__name__ for name in "abc"]
    assert kinds == ["TensorImages", "ImageFiles", "TarShards"]


def test_channels_are_known_without_reading_images(tmp_path: Path) -> None:
    assert [channels_of(name) for name in DATASETS] == [1, 1, 3, 3, 3]
    made.mnist(tmp_path / "a")
    made.class_folders(tmp_path / "b")
    assert channels_of(tmp_path / "a") == 1
    assert channels_of(tmp_path / "b") is None
    assert channels_of(tmp_path / "nowhere") is None


def test_an_archive_beside_the_unpacked_images_does_not_matter(tmp_path: Path) -> None:
    made.class_folders(tmp_path)
    made.tar(tmp_path / "images.tar", {"1.png": made.image(0)})
    assert len(open_dataset(tmp_path, "train")) == 4


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'mnist'"):
        open_dataset("mnits", "train")
    with pytest.raises(DataError, match="no folder"):
        open_dataset("./mnits", "train")


def test_a_pairs_folder_is_not_a_dataset(tmp_path: Path) -> None:
    folders.write(tmp_path, folders.plan())
    with pytest.raises(UsageError, match="--pairs"):
        open_dataset(tmp_path, "train")


def test_what_is_not_there_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image-net\.org") as caught:
        open_dataset("imagenet", "train", root=tmp_path)
    assert str(tmp_path) in caught.value.what
    assert "--data-root" in caught.value.fix


def test_classes_are_needed_by_name(tmp_path: Path) -> None:
    made.files(tmp_path, {"1.png": made.image(0)})
    with pytest.raises(UsageError, match="supcon"):
        needs_labels(open_dataset(tmp_path, "train"), tmp_path, "--method supcon")
    assert needs_labels(open_dataset("digits", "test"), "digits", "x").labels is not None


def served(monkeypatch: pytest.MonkeyPatch, name: str, url: str, contents: dict[str, bytes], inside: str = "") -> None:
    """Let a dataset be published at an address."""
    files = [
        PublishedFile((f"{url}/{file}",), hashlib.md5(data, usedforsecurity=False).hexdigest(), inside)
        for file, data in contents.items()
    ]
    monkeypatch.setitem(datasets.DATASETS, name, replace(DATASETS[name], files=lambda: files))


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_mnist_is_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = contents_of(made.mnist(tmp_path / "published", zipped=True))
    root = tmp_path / "root"
    manners = Manners({f"/{name}": data for name, data in contents.items()})
    with serving(manners) as url:
        served(monkeypatch, "mnist", url, contents)
        assert len(open_dataset("mnist", "test", root=root)) == 10
        assert len(open_dataset("mnist", "train+validation", root=root)) == 40
        assert len(manners.seen) == 4
    assert {path.name for path in (root / "mnist").iterdir()} - {"LOCK"} == set(contents)


def test_cifar10_is_downloaded_and_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.data.test_cifar10 import batches

    folder = batches(tmp_path / "published")
    members = {f"cifar-10-batches-py/{name}": data for name, data in contents_of(folder).items()}
    archive = made.tar(tmp_path / "cifar.tar.gz", members, mode="w:gz").read_bytes()
    root = tmp_path / "root"
    with serving(Manners({"/cifar.tar.gz": archive})) as url:
        served(monkeypatch, "cifar10", url, {"cifar.tar.gz": archive}, inside="cifar-10-batches-py")
        assert len(open_dataset("cifar10", "train+validation", root=root)) == 100
    assert {path.name for path in (root / "cifar10").iterdir()} - {"LOCK"} == {"cifar-10-batches-py"}


def test_another_file_than_the_published_one_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = contents_of(made.mnist(tmp_path / "published"))
    with serving(Manners({f"/{name}": data + b"x" for name, data in contents.items()})) as url:
        served(monkeypatch, "mnist", url, contents)
        with pytest.raises(DataError, match="MD5"):
            open_dataset("mnist", "test", root=tmp_path / "root")
    assert not (tmp_path / "root/mnist").exists()


def test_without_a_network_the_error_names_address_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, "mnist", "http://127.0.0.1:9", {"a.gz": b""})
    with pytest.raises(EnvironmentFault, match=r"http://127\.0\.0\.1:9/a\.gz") as caught:
        open_dataset("mnist", "test", root=tmp_path)
    assert str(tmp_path / "mnist") in caught.value.fix
    assert not (tmp_path / "mnist").exists()  # it would be an empty class in a folder of images


def test_the_published_files_are_those_that_torchvision_knows() -> None:
    assert [file.name for file in mnist_files()] == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]
    (cifar,) = cifar10_files()
    assert (cifar.name, cifar.inside) == ("cifar-10-python.tar.gz", "cifar-10-batches-py")


def test_batches_have_the_images_of_a_dataset_in_its_order(tmp_path: Path) -> None:
    made.mnist(tmp_path / "mnist")
    source = open_dataset("mnist", "train", root=tmp_path)
    images = torch.cat(list(batches(source, batch=16)))
    assert images.shape == (40, 1, 28, 28)
    assert float(images.min()) >= -1
    assert source.labels is not None
    assert len(source.labels) == 40
    assert torch.equal(torch.cat(list(batches(open_dataset("digits", "test")))), digits.load("test").images)
