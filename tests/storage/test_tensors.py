"""Files of tensors: what is written comes back, and whatever else a file may be is refused by name."""

from __future__ import annotations

import json
import math
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file
from torch import Tensor, nn

from copgen.runtime.errors import DataError
from copgen.storage.foreign.reading import read_foreign
from copgen.storage.tensors import FORMAT, is_whole, load_into, load_tensors, save_tensors

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).view(2, 3),
    "b.c": torch.tensor(7),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "none": torch.zeros(0, 4),
    "turned": torch.arange(6, dtype=torch.float64).view(2, 3).t(),
    "yes": torch.tensor([True, False]),
}


def crafted(path: Path, entry: str | None, *, body: bytes = b"", **tensors: dict[str, Any]) -> Path:
    """A safetensors file with the given `copgen` entry, made by hand."""
    header: dict[str, Any] = dict(tensors)
    if entry is not None:
        header["__metadata__"] = {"copgen": entry}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


@pytest.mark.parametrize("name", ["a", "caf\u00e9", "caf\udce9"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.safetensors"
    assert not is_whole(path)
    save_tensors(path, TENSORS, kind="thing", header={"width": 3, "made_by": {"seed": 0}})
    tensors, header = load_tensors(path, kind="thing")
    assert header == {"format": FORMAT, "kind": "thing", "width": 3, "made_by": {"seed": 0}}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert is_whole(path)
    assert read_foreign(path).keys() == TENSORS.keys()


def test_equal_tensors_give_equal_bytes(tmp_path: Path) -> None:
    for name, order in (("a", sorted(TENSORS)), ("b", sorted(TENSORS, reverse=True))):
        save_tensors(tmp_path / name, {key: TENSORS[key] for key in order}, kind="thing", header={"b": 1, "a": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_bytes_are_those_of_the_library(tmp_path: Path) -> None:
    names = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")
    shapes = ((2, 3), (), (0, 4))
    every = {f"{name} {shape}": torch.ones(shape, dtype=getattr(torch, name)) for name in names for shape in shapes}
    tensors = {**TENSORS, **every, 'caf\u00e9 "\n': torch.ones(1)}
    save_tensors(tmp_path / "a", tensors, kind="thing", header={"of": "caf\u00e9"})
    with safe_open(tmp_path / "a", "pt") as file:
        metadata = file.metadata()
    assert (tmp_path / "a").read_bytes() == save({k: one.contiguous() for k, one in tensors.items()}, metadata)


def test_no_copy_of_the_tensors_is_made(tmp_path: Path) -> None:
    tensors = {"features": torch.ones(1000, 1000)}
    save_tensors(tmp_path / "warm", TENSORS, kind="thing", header={})
    tracemalloc.start()
    try:
        save_tensors(tmp_path / "a", tensors, kind="thing", header={})
        assert tracemalloc.get_traced_memory()[1] < tensors["features"].nbytes / 2  # the buffer of the file
    finally:
        tracemalloc.stop()


def test_gradients_are_left_behind(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {"a": nn.Parameter(torch.ones(2))}, kind="thing", header={})
    assert not load_tensors(tmp_path / "a", kind="thing")[0]["a"].requires_grad


def refused(path: Path, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        load_tensors(path, kind="thing")
    assert str(path) in str(caught.value)


def test_missing(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "is missing")
    refused(tmp_path, "is missing")


def test_every_cut_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, TENSORS, kind="thing", header={})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path, "safetensors file")
    path.write_bytes(whole + b"\0")
    refused(path, "safetensors file")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><html><body>Not found</body></html>",
        pickle.dumps({"a": [1.0, 2.0]}),
        b"\xff" * 100,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
    ],
    ids=["empty", "html", "pickle", "huge header", "lfs pointer"],
)
def test_other_formats(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    refused(path, "safetensors file")


def test_a_file_of_torch_save_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    torch.save({"a": torch.ones(2)}, path)
    refused(path, "safetensors file")


def test_foreign_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(2)}, path)
    refused(path, "copgen did not write it")
    save_file({"a": torch.ones(2)}, path, metadata={"format": "pt"})
    refused(path, "copgen did not write it")


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 10_000, "not JSON"),
        ("[1]", "not an object"),
        ("null", "not an object"),
        ('"thing"', "not an object"),
        ('{"kind": "thing"}', "format number"),
        ('{"kind": "thing", "format": "1"}', "format number"),
        ('{"kind": "thing", "format": null}', "format number"),
        ('{"kind": "other", "format": 1}', "'other', not of 'thing'"),
        ('{"format": 1}', "'None', not of 'thing'"),
        (f'{{"kind": "thing", "format": {FORMAT + 1}}}', "Update copgen"),
        (f'{{"kind": "of the future", "format": {FORMAT + 1}}}', "Update copgen"),
    ],
)
def test_damaged_header_entries(tmp_path: Path, entry: str, match: str) -> None:
    refused(crafted(tmp_path / "a.safetensors", entry), match)


def test_a_tensor_beyond_the_end_is_found(tmp_path: Path) -> None:
    declared = {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}
    refused(crafted(tmp_path / "a", '{"kind": "thing", "format": 1}', body=b"\0" * 8, a=declared), "safetensors file")


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)


def test_load_into_takes_what_fits() -> None:
    source, target = Pair(), Pair()
    load_into(target, source.state_dict(), path=Path("a"))
    assert all(torch.equal(tensor, target.state_dict()[name]) for name, tensor in source.state_dict().items())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"linear.weight": None}, "'linear.weight' is missing"),
        ({"other": torch.ones(1)}, "'other' is unexpected"),
        ({"linear.weight": torch.ones(3, 3)}, r"'linear.weight' has shape \(3, 3\).*\(3, 2\)"),
        ({"linear.bias": torch.ones(3, 1)}, r"'linear.bias' has shape \(3, 1\).*\(3,\)"),
        ({"linear.bias": torch.tensor([0.0, math.nan, 0.0])}, "'linear.bias' .*finite"),
        ({"norm.running_var": torch.full((3,), math.inf)}, "'norm.running_var' .*finite"),
        ({"linear.bias": torch.ones(3, dtype=torch.complex64)}, "'linear.bias' .*torch.complex64"),
        ({"norm.num_batches_tracked": torch.tensor(1.5)}, "'norm.num_batches_tracked' .*torch.float32"),
    ],
)
def test_load_into_refuses_what_does_not_fit(change: dict[str, Tensor | None], match: str) -> None:
    module = Pair()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    changed = {**{name: tensor + 1 for name, tensor in before.items()}, **change}
    with pytest.raises(DataError, match=match) as caught:
        load_into(module, {name: tensor for name, tensor in changed.items() if tensor is not None}, path=Path("x/y.z"))
    assert "x/y.z" in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
