"""The content of valid files is returned, and a file that is not a checkpoint is refused with what it is."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import pickle
import random
import re
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from copgen.runtime.errors import DataError
from copgen.storage.foreign import ForeignArray, Global, Opaque, is_module, module_tensors, read_foreign
from tests.shared_data import shared
from tests.storage.foreign.files import FORMATS, authors_navigator, defined_in_main, save

TENSORS: dict[str, Tensor] = {
    "plain": torch.arange(6.0).view(2, 3),
    "double": torch.rand(3, dtype=torch.float64),
    "bfloat16": torch.rand(5).bfloat16(),
    "complex": torch.rand(2, dtype=torch.complex64),
    "int64": torch.tensor(-7),
    "bool": torch.tensor([True, False, True]),
    "turned": torch.arange(6.0).view(2, 3).t(),
    "part": torch.arange(10.0)[3:7],
    "every other": torch.arange(10.0)[::2],
    "none": torch.zeros(0, 4),
    "parameter": nn.Parameter(torch.rand(2, 2)),
}


def refused(path: Path | str, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read_foreign(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("layout", FORMATS)
def test_tensors_of_every_kind_come_back(tmp_path: Path, layout: str) -> None:
    path = save(OrderedDict(TENSORS), tmp_path / "a.pth", layout)
    found = read_foreign(path)
    assert list(found) == list(TENSORS)
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert not found[name].requires_grad
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("layout", FORMATS)
def test_plain_values_come_back(tmp_path: Path, layout: str) -> None:
    value = {
        "list": [1, -1, 2**40, 2**100, 1.5, None, True, "text \N{GREEK SMALL LETTER TAU}", b"bytes"],
        "tuple": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "set": {1, 2},
        1: {"nested": {}},
    }
    assert read_foreign(save(value, tmp_path / "a.pth", layout)) == value
    others = {"size": torch.Size([2, 3]), "device": torch.device("cuda", 0), "dtype": torch.float16}
    found = read_foreign(save(others, tmp_path / "b.pth", layout))
    assert found == {"size": (2, 3), "device": "cuda:0", "dtype": Global("torch", "float16")}


@pytest.mark.parametrize("layout", FORMATS)
def test_writing_to_what_was_read_leaves_the_file_alone(tmp_path: Path, layout: str) -> None:
    path = save({"a": torch.ones(1000)}, tmp_path / "a.pth", layout)
    before = path.read_bytes()
    read_foreign(path)["a"].zero_()
    assert path.read_bytes() == before
    assert bool(read_foreign(path)["a"].all())


@pytest.mark.parametrize("layout", FORMATS)
def test_tensors_that_share_a_storage_share_it_again(tmp_path: Path, layout: str) -> None:
    whole = torch.arange(8.0)
    found = read_foreign(save({"whole": whole, "part": whole[2:4]}, tmp_path / "a.pth", layout))
    found["whole"][2] = 99.0
    assert found["part"].tolist() == [99.0, 3.0]


@pytest.mark.parametrize("layout", FORMATS)
def test_a_module_of_a_class_that_is_not_here_gives_its_tensors(tmp_path: Path, layout: str) -> None:
    walk = authors_navigator(tmp_path / "w.pth", dim=5, hidden=7, layout=layout)
    found = read_foreign(tmp_path / "w.pth")["nn_walker"]
    assert isinstance(found, Opaque)
    assert found.kind == Global("torch.nn.parallel.data_parallel", "DataParallel")
    assert found.state["_modules"]["module"].kind == Global("__main__", "NonlinearWalk")
    tensors = module_tensors(found)
    assert list(tensors) == [f"module.{name}" for name in walk.state_dict()]
    assert all(torch.equal(tensors[f"module.{name}"], value) for name, value in walk.state_dict().items())


@pytest.mark.parametrize("layout", FORMATS)
def test_every_module_of_a_network_is_found(tmp_path: Path, layout: str) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.ReLU(), nn.Linear(2, 1)))
    found = read_foreign(save(network, tmp_path / "a.pth", layout))
    assert is_module(found)
    tensors = module_tensors(found)
    assert list(tensors) == list(network.state_dict())
    assert all(torch.equal(tensors[name], value) for name, value in network.state_dict().items())


class Average:
    """Like the moving average in a flow's checkpoint: an object with tensors, and the whole network."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.shadow_params = {name: p.detach() + 1 for name, p in module.named_parameters()}


@pytest.mark.parametrize("layout", FORMATS)
def test_attributes_of_foreign_objects_can_be_read(tmp_path: Path, layout: str) -> None:
    network = nn.Linear(2, 3)
    with defined_in_main(Average):
        value = {"ema": Average(network), "args": argparse.Namespace(width=3, name="x")}
        found = read_foreign(save(value, tmp_path / "a.pth", layout))
    assert found["args"].state == {"width": 3, "name": "x"}
    assert torch.equal(found["ema"].state["shadow_params"]["weight"], network.weight + 1)
    assert torch.equal(module_tensors(found["ema"].state["module"])["bias"], network.bias)


def test_safetensors_come_back(tmp_path: Path) -> None:
    save_file({"a": torch.ones(3)}, tmp_path / "a.safetensors")
    assert torch.equal(read_foreign(tmp_path / "a.safetensors")["a"], torch.ones(3))
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-1])
    refused(tmp_path / "cut.safetensors", "truncated")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", "<f8", "<i8", "|b1"])
def test_numpy_arrays_of_numbers_come_back(tmp_path: Path, kind: str, order: Any) -> None:
    array = np.asarray(np.arange(6).reshape(2, 3) % 2, dtype=kind, order=order)
    np.save(tmp_path / "a.npy", array)
    found = read_foreign(tmp_path / "a.npy")
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


def test_a_dictionary_in_a_numpy_array_comes_back(tmp_path: Path) -> None:
    """As the stored instances of IC-GAN are kept."""
    features = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    value = {"instance_features": features, "labels": np.arange(4), "image_path": ["a", "b"], "n": np.float64(2.5)}
    np.save(tmp_path / "a.npy", np.array(value, dtype=object))
    found = read_foreign(tmp_path / "a.npy")
    assert isinstance(found["instance_features"], ForeignArray)
    assert np.array_equal(found["instance_features"].numpy(), features)
    assert found["labels"].numpy().tolist() == [0, 1, 2, 3]
    assert (found["image_path"], found["n"]) == (["a", "b"], 2.5)


def test_an_array_of_wrong_length_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6.0))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-1])
    refused(tmp_path / "cut.npy", r"47 bytes of data, but its shape \(6,\) needs 48")
    (tmp_path / "huge.npy").write_bytes(whole.replace(b"(6,)", b"(9999999999999,)")[: len(whole)])
    refused(tmp_path / "huge.npy", "huge.npy")
    np.save(tmp_path / "b.npy", np.arange(6.0).astype(">f8"))
    refused(tmp_path / "b.npy", "type '>f8'")


@pytest.mark.parametrize("layout", FORMATS)
def test_every_cut_is_found(tmp_path: Path, layout: str) -> None:
    whole = save({"a": torch.ones(4), "b": torch.ones(3)}, tmp_path / "a.pth", layout).read_bytes()
    for length in range(0, len(whole), 5):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"truncated|empty|in an unknown format|cannot be read"):
            read_foreign(tmp_path / "cut.pth")
    for length in range(0, len(whole), 41):
        (tmp_path / "cut.pth").write_bytes(whole[: max(4, length)])
        refused(tmp_path / "cut.pth", "truncated")


def test_a_flipped_bit_in_the_numbers_is_found(tmp_path: Path) -> None:
    path = save({"a": torch.ones(64)}, tmp_path / "a.pth", "zip")
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(torch.ones(64).numpy().tobytes()) + 100] ^= 1
    path.write_bytes(damaged)
    refused(path, "record 'data/0' has a wrong checksum")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page"),
        (b"\n  <html lang='en'>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "is a Git LFS pointer"),
        (gzip.compress(b"x", mtime=0), "is a compressed file"),
        (b"\x1f\x8b\x08 and nothing", "is a compressed file"),
        (b"\x80\x02}q\x00.", "is a plain pickle"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "in an unknown format: it begins with 89 48 44 46"),
        (b"\xff" * 100, "in an unknown format"),
        (b"PK", "is truncated"),
    ],
)
def test_what_is_no_checkpoint_is_called_by_its_name(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    refused(tmp_path / "a.pth", match)


class Network:
    """As StyleGAN's files have them: objects of the program's own classes, which call its functions when read."""

    def __reduce__(self) -> Any:
        return reconstructed, ({"class_name": "Generator", "weights": np.ones(3)},)


def reconstructed(meta: Any) -> None:
    raise AssertionError("it was called")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_plain_pickle_is_told_with_the_classes_that_it_needs(tmp_path: Path, protocol: int) -> None:
    with defined_in_main(Average):
        value = {"G": Network(), "args": argparse.Namespace(x=1), "ema": Average(nn.Linear(1, 1))}
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol))
    refused(tmp_path / "a.pkl", "plain pickle")
    for name in ("__main__.Average", "argparse.Namespace", f"{__name__}.reconstructed"):
        refused(tmp_path / "a.pkl", re.escape(name))
    (tmp_path / "b.pkl").write_bytes(pickle.dumps([1, 2], protocol))
    refused(tmp_path / "b.pkl", "plain pickle")


@pytest.mark.parametrize("layout", [*FORMATS, "npy", "safetensors"])
def test_a_path_may_be_a_text(tmp_path: Path, layout: str) -> None:
    path = tmp_path / f"a.{layout}"
    if layout == "npy":
        np.save(path, np.ones(3))
    elif layout == "safetensors":
        save_file({"a": torch.ones(3)}, path)
    else:
        save({"a": torch.ones(3)}, path, layout)
    assert str(read_foreign(str(path))) == str(read_foreign(path))
    refused(str(tmp_path / "none.pth"), "is missing")


def test_archives_and_folders_are_to_be_unpacked_and_opened(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    refused(tmp_path / "a.tar.gz", "is a compressed archive, not a checkpoint. Unpack it")
    refused(tmp_path, "is a folder")
    refused(tmp_path / "none.pth", "is missing")


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ({"readme.txt": b"x"}, "without a record 'data.pkl'"),
        ({"a/data.pkl": b".", "b/data.pkl": b"."}, "without a record 'data.pkl'"),
        ({"a/data.pkl": b"N.", "../../x": b"."}, "an unsafe name"),
        ({"/data.pkl": b"N."}, "an unsafe name"),
        ({"a/data.pkl": b"N.", "a/byteorder": b"big"}, "big-endian"),
    ],
)
def test_zip_files_of_other_content_are_refused(tmp_path: Path, names: dict[str, bytes], match: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    refused(tmp_path / "a.pth", match)


def test_compressed_records_are_refused(tmp_path: Path) -> None:
    """A gigabyte of zeros is a megabyte when compressed; torch.save never compresses."""
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\0" * 10_000)
    refused(tmp_path / "a.pth", "compressed or encrypted")


@pytest.mark.parametrize("kind", ["zip", "legacy", "npy", "safetensors"])
def test_damaged_files_are_refused_or_read_and_nothing_else(tmp_path: Path, kind: str) -> None:
    """Bytes changed, dropped and put in, also where names and sizes are: a DataError or a value, no other error."""
    path = tmp_path / "a"
    if kind == "npy":
        np.save(tmp_path / "a.npy", np.array({"a": np.arange(3.0), "b": ["x"]}, dtype=object))
        (tmp_path / "a.npy").rename(path)
    elif kind == "safetensors":
        save_file({"a": torch.ones(3)}, path)
    else:
        save({"a": torch.ones(3), "module": nn.Linear(1, 1)}, path, kind)
    honest, dice = path.read_bytes(), random.Random(kind)
    for _ in range(300):
        damaged = bytearray(honest)
        start, end = dice.choice([(0, len(damaged)), (0, 200), (max(0, len(damaged) - 600), len(damaged))])
        for _ in range(dice.randrange(1, 5)):
            place, n = min(dice.randrange(start, end), len(damaged) - 1), dice.randrange(1, 8)
            put = dice.randbytes(dice.choice([0, n]))
            damaged[place : place + dice.choice([0, n])] = put
            damaged = damaged or bytearray(b"x")
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):
            read_foreign(path)


@pytest.mark.parametrize("name", ["N200000_1fc", "N320000_1optim"])
def test_the_walks_of_genrep_can_be_read(name: str) -> None:
    found = read_foreign(shared(f"data/genrep/w_simclr_aug_lr0.001_{name}_final.pth"))
    width = {"N200000_1fc": 136, "N320000_1optim": 132}[name]
    assert found["walk_jit"].shape[:2] == (1, 128)
    shapes = {name: tuple(value.shape) for name, value in module_tensors(found["walk_rrc"]).items()}
    assert shapes == {
        "0.weight": (width, width),
        "0.bias": (width,),
        "2.weight": (128, width),
        "2.bias": (128,),
    }


@pytest.mark.parametrize(
    "path",
    [
        "bigbigan/BigBiGAN_x1.pth",
        "biggan-deep-128/biggan-deep-128-pytorch_model.bin",
        "icgan-128/icgan_biggan_imagenet_res128/G_ema_best0.pth",
    ],
)
def test_public_layouts_are_read_as_torch_reads_them(path: str) -> None:
    file = shared(f"parity/{path}")
    ours, theirs = read_foreign(file), torch.load(file, weights_only=True, map_location="cpu")
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], tensor) and ours[name].dtype == tensor.dtype for name, tensor in theirs.items())
