"""Pickles that try to run code, and pickles that try to exhaust the machine: none does, through either file format.

Each attack would create a file, import a module, or both; afterwards there is neither.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import pickle
import struct
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen.runtime.errors import DataError, ExitCode
from copgen.storage.foreign import Global, Opaque, read_foreign
from copgen.storage.foreign.unpickling import DEEPEST, MOST_OPCODES
from tests.storage.foreign.files import FORMATS, Persistent, pickled_to, with_pickle

VICTIM = "this"  # a module of the standard library that prints a poem when it is imported, and that nobody imports


@pytest.fixture(autouse=True)
def nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Attacks run in a folder of their own; nothing appears in it, and no module is imported."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    assert not (tmp_path / "owned").exists()
    assert VICTIM not in sys.modules
    new = {name.split(".")[0] for name in set(sys.modules) - before}
    assert new <= {"torch", "numpy", "encodings"}  # parts of what reads the file


def refused(path: Path, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read_foreign(path)
    assert str(path) in str(caught.value)
    assert caught.value.code is ExitCode.DATA


class Reduced:
    """Pickles as a call of whatever it is given."""

    def __init__(self, *reduction: Any) -> None:
        self.reduction = reduction

    def __reduce__(self) -> Any:
        return self.reduction


TOUCH = "open('owned', 'w').close()"
CALLS: dict[str, tuple[Any, str]] = {
    "system": (Reduced(os.system, ("touch owned",)), r"asks for (posix|nt)\.system to be called"),
    "eval": (Reduced(builtins.eval, (TOUCH,)), r"builtin(s|__)\.eval to be called"),
    "exec": (Reduced(builtins.exec, (TOUCH,)), r"builtin(s|__)\.exec to be called"),
    "getattr": (Reduced(getattr, ("", "join")), r"\.getattr to be called"),
    "torch.load": (Reduced(torch.load, ("owned", None)), r"torch\.serialization\.load to be called"),
    "nested bytes": (
        Reduced(torch.storage._load_from_bytes, (pickle.dumps(Reduced(os.system, ("touch owned",))),)),
        r"torch\.storage\._load_from_bytes to be called",
    ),
    "within tensors": (
        {"a": [1, (2, {"b": Reduced(os.system, ("touch owned",))})]},
        r"(posix|nt)\.system to be called",
    ),
    "two": (
        [Reduced(os.system, ("touch owned",)), Reduced(builtins.eval, (TOUCH,))],
        r"(posix|nt)\.system, \w+\.eval to be called",
    ),
}


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("name", CALLS)
def test_calls_are_refused_by_name(tmp_path: Path, name: str, layout: str) -> None:
    value, match = CALLS[name]
    refused(pickled_to(tmp_path, layout, value), match)


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


BY_HAND = {
    "INST": (b"(S'touch owned'\nios\nsystem\n.", r"os\.system to be called"),
    "OBJ": (b"(cos\nsystem\nS'touch owned'\no.", r"os\.system to be called"),
    "NEWOBJ": (b"cos\nsystem\n" + text("touch owned") + b"\x85\x81.", r"os\.system to be called"),
    "NEWOBJ_EX": (
        b"\x80\x04csubprocess\nPopen\n" + text("touch owned") + b"\x85}" + text("shell") + b"\x88s\x92.",
        r"subprocess\.Popen to be called",
    ),
    "NEWOBJ_EX with keywords": (
        b"\x80\x04csubprocess\nPopen\n)}" + text("args") + text("touch owned") + b"s\x92.",
        r"subprocess\.Popen to be called",
    ),
    "dotted STACK_GLOBAL": (
        b"\x80\x04" + text("os") + text("path.os.system") + b"\x93" + text("touch owned") + b"\x85R.",
        r"os\.path\.os\.system to be called",
    ),
    "dotted name within torch": (
        b"\x80\x04" + text("torch._utils") + text("torch.os.system") + b"\x93" + text("touch owned") + b"\x85R.",
        r"torch\._utils\.torch\.os\.system to be called",
    ),
    "import by name": (b"cimportlib\nimport_module\n" + text(VICTIM) + b"\x85R.", r"importlib\.import_module to be"),
    "call of what a call gave": (
        b"cbuiltins\ngetattr\ncos\n__dict__\n" + text("system") + b"\x86R" + text("touch owned") + b"\x85R.",
        r"builtins\.getattr to be called",
    ),
    "call of a value": (text("system") + text("touch owned") + b"\x85R.", "'str' object is not callable"),
    "arguments that are none": (b"cos\nsystem\n" + text("touch owned") + b"R.", "must be a tuple"),
    "extension code": (b"\x80\x02\x82\x01.", "not a supported opcode"),
    "out-of-band buffer": (b"\x80\x05\x97.", "not a supported opcode"),
    "text persistent id": (b"Pos.system\n.", "not a supported opcode"),
    "a storage that is no storage": (
        b"(" + text("storage") + b"cos\nsystem\n" + text("0") + text("cpu") + b"K\x02tQ.",
        r"kept in os\.system, which is not a numeric storage",
    ),
    "a persistent id of another kind": (b"(" + text("module") + text("os") + b"tQ.", "neither a storage nor a module"),
    "a type that is none": (
        b"ctorch._utils\n_rebuild_tensor_v3\n((" + text("storage") + b"ctorch\nUntypedStorage\n" + text("0")
        + text("cpu") + b"K\x08tQK\x00K\x02\x85K\x01\x85\x89}cos\nsystem\ntR.",
        r"of type os\.system",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_opcodes_by_hand_are_refused(tmp_path: Path, name: str) -> None:
    content, match = BY_HAND[name]
    refused(with_pickle(tmp_path / "a.pth", content, "zip"), match)


def test_importing_a_name_is_not_looking_it_up(tmp_path: Path) -> None:
    """A name alone is a label, whatever it names; a real unpickler would import the module now."""
    path = with_pickle(tmp_path / "a.pth", f"c{VICTIM}\ns\n.".encode(), "zip")
    assert read_foreign(path) == Global(VICTIM, "s")


def test_state_is_stored_and_never_handed_to_a_class(tmp_path: Path) -> None:
    """`__setstate__` and attribute setting are what BUILD does elsewhere; here the state is kept as it is."""
    state = b"}" + text("__setstate__") + b"cos\nsystem\ns" + text("__class__") + b"cbuiltins\neval\nsb"
    again = text("touch owned") + b"b."
    found = read_foreign(
        with_pickle(tmp_path / "a.pth", f"c{VICTIM}\nPoem\n)\x81".encode("latin-1") + state + again, "zip")
    )
    assert isinstance(found, Opaque)
    assert found.kind == Global(VICTIM, "Poem")
    assert found.state == {"__setstate__": Global("os", "system"), "__class__": Global("builtins", "eval")}
    assert found.items == ["touch owned"]


@pytest.mark.parametrize("target", [b"]", b"}", b")", text("x"), b"K\x01", b"cos\nsystem\n", b"c_codecs\nencode\n"])
@pytest.mark.parametrize("slots", [False, True])
def test_state_of_values_that_have_none_is_refused(tmp_path: Path, target: bytes, slots: bool) -> None:
    state = b"}" + text("__class__") + b"cbuiltins\neval\ns"
    content = target + (b"N" + state + b"\x86" if slots else state) + b"b."
    refused(with_pickle(tmp_path / "a.pth", content, "zip"), "cannot be read")


def storage(count: int, key: str = "0", kind: str = "FloatStorage") -> bytes:
    number = struct.pack("<BI", ord("J"), count) if count < 2**31 else b"\x8a\x09" + count.to_bytes(9, "little")
    return b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number + b"tQ"


def tensor(count: int, offset: int, size: int, stride: int, **of: str) -> bytes:
    numbers = [b"\x8a\x09" + n.to_bytes(9, "little", signed=True) for n in (offset, size, stride)]
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(count, **of)
        + numbers[0] + numbers[1] + b"\x85" + numbers[2] + b"\x85\x89}tR."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (tensor(2**40, 0, 1, 1), "has 8 bytes, not 1,099,511,627,776 times 4"),
        (tensor(2**60, 0, 1, 1), "without the key and size"),
        (tensor(3, 0, 3, 1), "has 8 bytes, not 3 times 4"),
        (tensor(2, 0, 2**40, 0), r"shape \(1099511627776,\) in a storage of 2 elements"),
        (tensor(2, 0, 3, 1), r"shape \(3,\) in a storage of 2 elements"),
        (tensor(2, 1, 2, 1), "in a storage of 2 elements"),
        (tensor(2, 0, 2, 2), "in a storage of 2 elements"),
        (tensor(2, -1, 2, 1), "invalid shape, stride or offset"),
        (tensor(2, 1, 2, -1), "invalid shape, stride or offset"),
        (tensor(2, 0, -1, 1), "invalid shape, stride or offset"),
        (tensor(2, 0, 2, 1, key="1"), "record 'data/1' is missing"),
        (tensor(2, 0, 2, 1, key="../data.pkl"), "record 'data/../data.pkl' is missing"),
        (tensor(2, 0, 2, 1, kind="QInt8Storage"), "not a numeric storage"),
        (b"\x8d" + (2**62).to_bytes(8, "little") + b"a.", "truncated"),
        (b"\x8e" + (2**62).to_bytes(8, "little") + b"a.", "truncated"),
        (b"\x8b" + (2**31 - 1).to_bytes(4, "little") + b"a.", "truncated"),
    ],
)
def test_sizes_are_checked_before_anything_is_allocated(tmp_path: Path, content: bytes, match: str) -> None:
    tracemalloc.start()
    try:
        refused(with_pickle(tmp_path / "a.pth", content, "zip"), match)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_a_legacy_file_that_asks_for_terabytes_is_refused(tmp_path: Path) -> None:
    path = with_pickle(tmp_path / "a.pth", tensor(2**40, 0, 1, 1), "legacy")
    end = pickle.dumps(["0"], protocol=2)
    whole = path.read_bytes().removesuffix(pickle.dumps([], protocol=2)) + end
    path.write_bytes(whole + (2**40).to_bytes(8, "little") + b"\0" * 8)
    refused(path, "truncated")
    path.write_bytes(whole + (2).to_bytes(8, "little") + b"\0" * 8)
    refused(path, "storage '0' has 2 elements, not 1,099,511,627,776")


def test_a_persistent_id_of_anything_else_is_refused(tmp_path: Path) -> None:
    stream, secret = io.BytesIO(), object()
    Persistent(stream, {id(secret): ("file", "/etc/passwd")}).dump([secret])
    for layout in FORMATS:
        refused(with_pickle(tmp_path / "a.pth", stream.getvalue(), layout), "neither a storage nor a module")


@pytest.mark.parametrize("open_", [b"]", b"\x85", b"}K\x00"])
def test_deep_nesting_is_refused_without_recursion(tmp_path: Path, open_: bytes) -> None:
    close = {b"]": b"a", b"\x85": b"", b"}K\x00": b"s"}[open_]
    for depth, fine in ((DEEPEST - 2, True), (100_000, False)):
        content = b"N" + open_ * depth if open_ == b"\x85" else open_ * depth + b"N" + close * depth
        path = with_pickle(tmp_path / "a.pth", content + b".", "zip")
        if fine:
            read_foreign(path)
        else:
            refused(path, f"deeper than {DEEPEST} levels")


def test_a_value_that_holds_itself_can_be_read(tmp_path: Path) -> None:
    found = read_foreign(with_pickle(tmp_path / "a.pth", b"]q\x00h\x00a.", "zip"))
    assert found[0] is found


def doubled(times: int) -> bytes:
    """A tuple of the same tuple twice, and so on: 2^times leaves in a few bytes."""
    return b"N" + b"2\x86" * times


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"}" + doubled(60) + b"Ns.", "a key of type tuple"),
        (b"\x8f(" + doubled(60) + b"\x90.", "a key of type tuple"),
        (b"cbuiltins\nset\n](" + doubled(60) + b"e\x85R.", "members that are not scalars"),
        (b"ccollections\nOrderedDict\n](" + doubled(60) + b"N\x86e\x85R.", r"items other than \(scalar"),
        (b"ctorch\ndevice\n" + doubled(60) + b"\x85R.", "a type and an index"),
        (b"cnumpy\ndtype\n" + doubled(60) + b"\x85R.", "an array of type a tuple"),
        (b"cos\nsystem\n" + doubled(60) + b"R.", r"os\.system to be called"),
        (b"N0" * MOST_OPCODES + b"N.", "more than 1,000,000 opcodes"),
        (b"0" * 10 + b".", "underflow"),
    ],
    ids=["key", "set", "set call", "ordered", "device", "dtype", "refusal", "length", "empty"],
)
def test_bombs_are_refused_at_once(tmp_path: Path, content: bytes, match: str) -> None:
    """Hashing or printing 2^60 leaves would take longer than the tests have."""
    refused(with_pickle(tmp_path / "a.pth", content, "zip"), match)


def test_copies_cannot_outgrow_the_file(tmp_path: Path) -> None:
    """A hundred kilobytes, encoded and kept a hundred thousand times."""
    once = b"c_codecs\nencode\nh\x00" + text("latin1") + b"\x86R"
    content = text("x" * 100_000) + b"q\x00" + b"(" + once * 1000 + b"t."
    refused(with_pickle(tmp_path / "a.pth", content, "zip"), "larger than the file")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_pickles_are_refused_or_read_and_nothing_else(tmp_path: Path, seed: int) -> None:
    """Random bytes put into an honest pickle: a DataError or a value, never another error."""
    generator = torch.Generator().manual_seed(seed)
    honest = pickle.dumps({"a": [1, (2.5, "x")], "b": {3: None}, "c": {4, 5}}, protocol=2 + seed % 4)
    for _ in range(200):
        damaged = bytearray(honest)
        for _ in range(int(torch.randint(1, 4, (1,), generator=generator))):
            place, byte = torch.randint(0, 2**16, (2,), generator=generator).tolist()
            damaged[place % len(damaged)] = byte % 256
        path = with_pickle(tmp_path / "a.pth", bytes(damaged), "zip")
        with contextlib.suppress(DataError):
            read_foreign(path)
