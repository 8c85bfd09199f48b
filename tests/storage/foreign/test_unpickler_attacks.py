"""What `pickle.Unpickler` itself would do for a file: call methods of what it holds, set attributes, size its memo.

None of it reaches anything but inert records, and whatever is done to a file, the only error is a DataError.
"""

from __future__ import annotations

import contextlib
import copyreg
import io
import pickle
import random
import resource
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from copgen.runtime.errors import DataError
from copgen.storage.foreign import ForeignArray, Global, Opaque, read_foreign
from copgen.storage.foreign.calls import CALLS
from tests.storage.foreign.files import FORMATS, authors_navigator, save, with_pickle
from tests.storage.foreign.test_attacks import nothing_happens, refused, storage, tensor, text

__all__ = ["nothing_happens"]  # the fixture that looks for traces of an attack

PUSH_TENSOR = tensor(2, 0, 2, 1).removesuffix(b".")
PUSH_STORAGE = storage(2)
PUSH_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text("b") + b"\x87R"
PUSH_DTYPE = b"cnumpy\ndtype\n" + text("<f4") + b"\x85R"
PUSH_DICT = b"ccollections\nOrderedDict\n)R"
PUSH_OBJECT = b"cmain\nThing\n)\x81"
PUSHES = {
    "tensor": PUSH_TENSOR,
    "storage": PUSH_STORAGE,
    "array": PUSH_ARRAY,
    "dtype": PUSH_DTYPE,
    "dictionary": PUSH_DICT,
    "object": PUSH_OBJECT,
    "class": b"cmain\nThing\n",
    "function": b"ctorch._utils\n_rebuild_tensor_v2\n",
    "text": text("x"),
    "list": b"]",
    "set": b"\x8f",
    "none": b"N",
}
SYSTEM = b"cos\nsystem\n"
OPERATIONS = {
    "attributes": b"}" + text("__class__") + SYSTEM + b"sb",
    "slots": b"N(" + text("__class__") + SYSTEM + text("builder") + SYSTEM + text("__setstate__") + SYSTEM + b"d\x86b",
    "globals": b"N}" + text("__globals__") + b"}s\x86b",
    "tensor state": b"(" + PUSH_STORAGE + b"K\x00K\x02\x85K\x01\x85tb",
    "append": b"K\x01a",
    "appends": b"(K\x01K\x02e",
    "item": b"K\x00K\x01s",
    "item by object": PUSH_OBJECT + b"K\x01s",
    "items": b"(K\x00K\x01u",
    "members": b"(K\x00K\x01\x90",
    "call": b")R",
    "call with values": text("touch owned") + b"\x85R",
    "new": b")\x81",
    "new with values": text("touch owned") + b"\x85\x81",
    "new with keywords": b")}" + text("cls") + text("x") + b"s\x92",
}  # fmt: skip


@pytest.fixture
def own_tables() -> Iterator[None]:
    """The tables that all files share are afterwards what they were."""
    before = {name: (builder, dict(vars(builder))) for name, builder in CALLS.items()}
    classes = {cls: dict(vars(cls)) for cls in (Opaque, ForeignArray, Global)}
    yield
    assert {name: (builder, dict(vars(builder))) for name, builder in CALLS.items()} == before
    assert {cls: dict(vars(cls)) for cls in classes} == classes


@pytest.mark.usefixtures("own_tables")
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("target", PUSHES)
def test_every_operation_on_every_value_is_refused_or_inert(
    tmp_path: Path, target: str, operation: str, layout: str
) -> None:
    content = b"\x80\x04" + PUSHES[target] + OPERATIONS[operation] + b"."
    path = with_pickle(tmp_path / "a.pth", content, layout)
    if layout == "legacy":  # with its storage behind it
        numbers = (2).to_bytes(8, "little") + torch.tensor([1.0, 2.0]).numpy().tobytes()
        path.write_bytes(path.read_bytes().removesuffix(pickle.dumps([], 2)) + pickle.dumps(["0"], 2) + numbers)
    found: object = "refused"
    with contextlib.suppress(DataError):
        found = read_foreign(path)
    assert isinstance(found, torch.Tensor | Opaque | ForeignArray | Global | dict | list | set | str | None)
    if isinstance(found, torch.Tensor):
        assert type(found) is torch.Tensor
        assert found.tolist() == [1.0, 2.0]


def test_a_module_of_torch_is_never_the_real_one(tmp_path: Path) -> None:
    for name in ("nn\nLinear", "_utils\n_rebuild_tensor_v2.__globals__", "\n__builtins__", "storage\n_load_from_bytes"):
        found = read_foreign(with_pickle(tmp_path / "a.pth", b"ctorch." + name.encode() + b"\n.", "zip"))
        assert found == Global(*f"torch.{name}".split("\n"))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "path.join"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch._utils", "_rebuild_tensor_v2.__call__"),
        ("collections", "OrderedDict.fromkeys"),
        ("copgen.storage.foreign.calls", "encoded"),
        ("copgen.storage.foreign.records", "Opaque"),
        ("builtins", "bytearray.__new__"),
        ("", ""),
        ("os\x1b[2J", "system\x00"),
        ("\ud800", "\udfff"),
    ],
)
def test_dotted_and_odd_names_are_only_labels(tmp_path: Path, module: str, name: str) -> None:
    named = b"\x80\x04" + b"".join(
        b"X" + len(raw).to_bytes(4, "little") + raw
        for raw in (one.encode("utf-8", "surrogatepass") for one in (module, name))
    )
    label = named + b"\x93."
    assert read_foreign(with_pickle(tmp_path / "a.pth", label, "zip")) == Global(module, name)
    call = named + b"\x93" + text("x") + b"\x85R."
    with pytest.raises(DataError, match="to be called") as caught:
        read_foreign(with_pickle(tmp_path / "b.pth", call, "zip"))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("opcode", [b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"])
def test_registered_extensions_are_refused(tmp_path: Path, opcode: bytes) -> None:
    """An extension code stands for a real object, if the process has registered and used it."""
    copyreg.add_extension("os", "system", 1)
    try:
        assert pickle.loads(b"\x80\x02\x82\x01.").__name__ == "system"
        refused(with_pickle(tmp_path / "a.pth", b"\x80\x02" + opcode + text("touch owned") + b"\x85R.", "zip"), "EXT")
    finally:
        copyreg.remove_extension("os", "system", 1)


IDENTITIES = {
    "number": b"K\x01",
    "nothing": b"N",
    "empty tuple": b")",
    "list": b"]",
    "dictionary": b"}",
    "text": text("storage"),
    "class": SYSTEM,
    "object": PUSH_OBJECT,
    "tensor": PUSH_TENSOR,
    "storage": PUSH_STORAGE,
    "kind is a list": b"(]" + b"N" * 4 + b"t",
    "kind is a tensor": b"(" + PUSH_TENSOR + b"N" * 4 + b"t",
    "short": b"(" + text("storage") + b"t",
    "long": b"(" + text("storage") + b"N" * 9 + b"t",
    "key is a class": b"(" + text("storage") + b"ctorch\nFloatStorage\n" + SYSTEM + text("cpu") + b"K\x02t",
    "count is a truth": b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"\x88t",
    "view is too long": b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    + b"K\x02" + text("v") + b"K\x01K\x02\x87t",
    "view is a class": b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    + b"K\x02" + SYSTEM + b"t",
    "module is a tensor": b"(" + text("module") + PUSH_TENSOR + b"NNt",
}  # fmt: skip


@pytest.mark.parametrize("name", IDENTITIES)
def test_persistent_ids_of_other_types_are_refused(tmp_path: Path, name: str) -> None:
    refused(with_pickle(tmp_path / "a.pth", b"\x80\x02" + IDENTITIES[name] + b"Q.", "zip"), "cannot be read")


BOMBS = {
    "memo": b"\x80\x02Nr\xff\xff\xff\xff.",
    "memo as text": b"Np99999999999999999999\n.",
    "negative memo": b"Np-5\n.",
    "frame": b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b"N.",
    "text": b"X\xff\xff\xff\xffabc",
    "long text": b"\x8d" + (2**62).to_bytes(8, "little") + b"a.",
    "bytes": b"\x8e" + (2**63 - 1).to_bytes(8, "little") + b"a.",
    "more bytes than there are numbers": b"\x8e" + b"\xff" * 8 + b"a.",
    "bytearray": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"a.",
    "negative length": b"T\xff\xff\xff\xffa.",
    "integer": b"\x8b" + (2**31 - 1).to_bytes(4, "little") + b"a.",
    "digits": b"I" + b"9" * 5000 + b"\n.",
    "long digits": b"L" + b"9" * 100_000 + b"L\n.",
    "large integer": b"\x8b" + (5000).to_bytes(4, "little") + b"\x7f" * 5000 + b".",
    "buffers": b"\x80\x05\x97.",
    "read-only buffers": b"\x80\x05\x97\x98.",
    "names": b"".join(b"cm\nC%d\n0" % k for k in range(2000)) + b"N.",
    "marks": b"(" * 100_000 + b"t" * 100_001 + b".",
    "no end": b"N" * 100,
    "protocol": b"\x80\x09N.",
}


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("name", BOMBS)
def test_sizes_that_are_not_in_the_file_allocate_nothing(tmp_path: Path, name: str, layout: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(with_pickle(tmp_path / "a.pth", BOMBS[name], layout), "cannot be read")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def nested(times: int) -> bytes:
    """A tuple of the same tuple twice, and so on, as a memo has it."""
    return b"Nq\x00" + b"".join(b"0h\x00h\x00\x86q\x00" for _ in range(times))


def number(n: int) -> bytes:
    raw = n.to_bytes((n.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


COLLIDING = b"".join(number(k * (2**61 - 1)) + b"N" for k in range(1, 50_000))
DEEP_TUPLE = b"N" + b"\x85" * 200_000
SLOW = {
    "doubled key": b"}" + nested(100) + b"Ns.",
    "doubled keys": b"}(" + nested(100) + b"Nu.",
    "doubled keys of DICT": b"(" + nested(100) + b"Nd.",
    "doubled members": b"\x8f(" + nested(100) + b"\x90.",
    "doubled members of a frozen set": b"(" + nested(100) + b"\x91.",
    "doubled members of a called set": b"cbuiltins\nset\n](" + nested(100) + b"e\x85R.",
    "doubled through an object": PUSH_OBJECT + nested(100) + b"Ns.",
    "deep key": b"}" + DEEP_TUPLE + b"Ns.",
    "deep member": b"\x8f(" + DEEP_TUPLE + b"\x90.",
    "deep value": DEEP_TUPLE + b".",
    "deep size": b"ctorch\nSize\n" + DEEP_TUPLE + b"R.",
    "deep identity": DEEP_TUPLE + b"Q.",
    "deep name": DEEP_TUPLE + b"\x93.",
    "deep through objects": b"cm\nA\n)\x81" * 300 + b"a" * 299 + b".",
    "tuple of the set that holds it": b"\x8fq\x00(h\x00\x85\x90.",
    "colliding keys": b"}(" + COLLIDING + b"u.",
    "colliding members": b"\x8f(" + COLLIDING + b"\x90.",
    "colliding pairs": b"}" + b"".join(number(k * (2**61 - 1)) + b"Ns" for k in range(1, 50_000)) + b".",
    "colliding keys of an object": PUSH_OBJECT + b"(" + COLLIDING + b"u.",
    "colliding members of a called set": b"cbuiltins\nset\n](" + COLLIDING + b"e\x85R.",
    "computed keys": b"}(" + b"ctorch\nSize\nK\x01\x85\x85RN" * 20_000 + b"u.",
    "one state again and again": b"}(" + b"".join(b"J" + k.to_bytes(4, "little") + b"N" for k in range(50_000))
    + b"uq\x000cm\nA\n)\x81" + b"h\x00b" * 50_000 + b".",
    "one list again and again": b"](" + b"N" * 50_000 + b"eq\x000(" + b"ctorch\nSize\nh\x00\x85R" * 50_000 + b"t.",
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
def test_values_that_would_take_for_ever_or_overflow_the_stack_are_refused(tmp_path: Path, name: str) -> None:
    start = time.process_time()
    refused(with_pickle(tmp_path / "a.pth", b"\x80\x04" + SLOW[name], "zip"), "cannot be read")
    assert time.process_time() - start < 20


def test_cyclic_values_can_be_read(tmp_path: Path) -> None:
    found = read_foreign(with_pickle(tmp_path / "a.pth", b"]q\x00h\x00\x85a.", "zip"))
    assert found[0][0] is found
    thing = read_foreign(with_pickle(tmp_path / "b.pth", b"cm\nA\n)\x81q\x00}" + text("me") + b"h\x00sb.", "zip"))
    assert thing.state["me"] is thing


@pytest.mark.parametrize("layout", FORMATS)
def test_what_a_call_gave_cannot_be_called(tmp_path: Path, layout: str) -> None:
    for push in (PUSH_OBJECT, PUSH_DICT, PUSH_TENSOR, PUSH_DTYPE, PUSH_ARRAY, b"cos\nsystem\n)R"):
        refused(with_pickle(tmp_path / "a.pth", push + text("touch owned") + b"\x85R.", layout), "cannot be read")


def test_a_thousand_views_of_one_storage_take_the_memory_of_one(tmp_path: Path) -> None:
    whole = torch.ones(4 * 2**20)
    path = save({str(k): whole[k:] for k in range(1000)}, tmp_path / "a.pth", "zip")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = read_foreign(path)
    assert len({tensor.untyped_storage().data_ptr() for tensor in found.values()}) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    legacy = save({str(k): whole[k:] for k in range(1000)}, tmp_path / "b.pth", "legacy")
    assert len({tensor.untyped_storage().data_ptr() for tensor in read_foreign(legacy).values()}) == 1


def test_records_that_overlap_in_the_archive_are_refused(tmp_path: Path) -> None:
    """A thousand names for the same megabyte: a gigabyte of checksums, and more with each name."""
    stream = io.BytesIO()
    content = b"\0" * 2**16
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", b"N.")
        archive.writestr("a/data/0", content)
        first = archive.getinfo("a/data/0")
        for k in range(1, 1000):
            other = zipfile.ZipInfo(f"a/data/{k}")
            other.header_offset, other.CRC = first.header_offset, zlib.crc32(content)
            other.file_size = other.compress_size = len(content)
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
    (tmp_path / "a.pth").write_bytes(stream.getvalue())
    refused(tmp_path / "a.pth", "larger than the file")


def honest(path: Path, kind: str) -> bytes:
    """A file with something of everything."""
    if kind == "numpy":
        value = {"instance_features": np.ones((3, 4), np.float32), "labels": np.arange(3), "n": np.float64(2.5)}
        np.save(path, np.array(value, dtype=object))
    elif kind == "authors":
        authors_navigator(path, dim=4)
    else:
        module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        save({"a": torch.ones(3), "module": module, "x": [1, (2, {3})], "s": module.state_dict()}, path, kind)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["zip", "legacy", "numpy", "authors"])
def test_files_cut_anywhere_give_a_data_error(tmp_path: Path, kind: str) -> None:
    whole = honest(tmp_path / "a.npy", kind)
    for length in range(0, len(whole), 97):
        (tmp_path / "a.npy").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a\.npy"):
            read_foreign(tmp_path / "a.npy")


@pytest.mark.parametrize("kind", ["zip", "legacy", "numpy", "authors"])
def test_files_with_flipped_bytes_give_a_data_error_or_a_value(tmp_path: Path, kind: str) -> None:
    whole, dice = honest(tmp_path / "a.npy", kind), random.Random(kind)
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            damaged[dice.randrange(len(damaged))] ^= dice.randrange(1, 256)
        (tmp_path / "a.npy").write_bytes(damaged)
        with contextlib.suppress(DataError):
            read_foreign(tmp_path / "a.npy")


@pytest.mark.parametrize("protocol", [2, 4])
def test_random_opcodes_give_a_data_error_or_a_value(tmp_path: Path, protocol: int) -> None:
    """Values and operations in any order, far more often well-formed than random bytes are."""
    parts = [
        *PUSHES.values(),
        *OPERATIONS.values(),
        b"h\x00",
        b"q\x00",
        *(bytes([code]) for code in b"(tldeu012asbRoQ"),
    ]
    parts += [bytes([code]) for code in b"\x81\x85\x86\x87\x90\x91\x94"]
    dice = random.Random(protocol)
    for _ in range(500):
        content = bytes([0x80, protocol]) + b"".join(dice.choices(parts, k=dice.randrange(1, 12))) + b"."
        with contextlib.suppress(DataError):
            read_foreign(with_pickle(tmp_path / "a.pth", content, "zip"))
