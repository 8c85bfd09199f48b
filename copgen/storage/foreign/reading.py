"""`read_foreign` and `read_pickled`: the content of files of other programs, without executing anything in them."""

from __future__ import annotations

import gzip
import io
import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as numpy_format

from copgen.runtime.errors import DataError
from copgen.runtime.path_errors import path_error
from copgen.runtime.urls import refuse_url
from copgen.storage.files import read_bytes
from copgen.storage.foreign import torch_files
from copgen.storage.foreign.calls import array_type
from copgen.storage.foreign.records import (
    MOST_DIMENSIONS,
    BadPickle,
    ForeignArray,
    Global,
    Storage,
    expect,
    is_size,
    listed,
)
from copgen.storage.foreign.unpickling import FAULTS, Mapped, names_in, read_pickle, resolved
from copgen.storage.safetensors_file import opened

_AGAIN = "Download it again, and compare its size with the published one."
_GZIP, _LFS, _NUMPY = b"\x1f\x8b", b"version https://git-lfs", b"\x93NUMPY"
_LONGEST_SAFETENSORS_HEADER = 100 * 2**20


def read_foreign(path: Path | str) -> Any:
    """The content of a checkpoint of another program.

    Args:
        path: a file of `torch.save` (zip or the older format), a safetensors file, or a .npy array.

    Returns:
        Dictionaries, lists, numbers and strings; tensors on the CPU, views of the mapped file if the format allows it
        (copy on write); `Opaque` instead of objects of other classes, `Global` instead of classes and functions. A
        safetensors file gives a dictionary of tensors.

    Raises:
        DataError: missing, truncated, damaged, in an unknown format, or a pickle that asks for something to be called.
    """
    path = Path(path)
    refuse_url(path)
    if path.is_dir():
        raise DataError(f"{path} is a folder.", fix="Pass the file in it.")
    if not path.is_file():
        raise DataError(f"{path} is missing: no file to read.", fix="Check the path.")
    try:
        with open(path, "rb") as stream:
            head = stream.read(1024)
        refuse_what_is_no_checkpoint(path, head)
        if head.startswith(torch_files.ZIP):
            return torch_files.read_archive(path)
        if head.startswith(torch_files.LEGACY):
            return torch_files.read_legacy(path)
        if head.startswith(_NUMPY):
            return read_array(path)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _LONGEST_SAFETENSORS_HEADER:
            return read_safetensors(path)
        cut = torch_files.LEGACY.startswith(head) or torch_files.ZIP.startswith(head)
        if not cut:
            refuse_plain_pickle(path, head)
    except BadPickle as error:
        raise DataError(f"{path} cannot be read: {error}.", fix=advice(str(error))) from None
    except OSError as error:
        raise path_error(error, path, access="read") from None
    except FAULTS as error:
        raise DataError(f"{path} cannot be read: it is truncated or damaged ({error!s:.200}).", fix=_AGAIN) from None
    raise DataError(
        f"{path} is {'truncated' if cut else 'in an unknown format'}: it begins with {head[:8].hex(' ')}.",
        fix=_AGAIN if cut else "Pass a file of torch.save, a safetensors file or a .npy array.",
    )


def read_pickled(path: Path | str) -> Any:
    """The content of a plain pickle of dictionaries, lists, numbers, text and arrays, such as a batch of CIFAR-10.

    Returns:
        As `read_foreign`, with a `ForeignArray` for each array.

    Raises:
        DataError: missing, truncated, damaged, or a pickle that asks for something else to be called.
        EnvironmentFault: it cannot be read.
    """
    path = Path(path)
    data = read_bytes(path)
    try:
        refuse_what_is_no_checkpoint(path, data[:1024])
        stream = io.BytesIO(data)
        value, _ = read_pickle(stream)
        return resolved(value, no_storage)
    except BadPickle as error:
        raise DataError(f"{path} cannot be read: {error}.", fix=advice(str(error))) from None
    except FAULTS as error:
        raise DataError(f"{path} cannot be read: it is truncated or damaged ({error!s:.200}).", fix=_AGAIN) from None


def advice(problem: str) -> str:
    """The remedy for a file that cannot be read."""
    if "would run code" in problem:
        return "Do not open it with other programs either; get the file from its authors."
    return _AGAIN if "truncated" in problem or "damaged" in problem else ""


def refuse_what_is_no_checkpoint(path: Path, head: bytes) -> None:
    """Refuse what failed downloads often leave instead of the file."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        raise DataError(f"{path} is empty.", fix=_AGAIN)
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise DataError(
            f"{path} is a web page, not a checkpoint.",
            fix="The URL returned a page (a login, a warning, an error) instead of the file; download it again.",
        )
    if head.startswith(_LFS):
        raise DataError(
            f"{path} is a Git LFS pointer, not the file itself.",
            fix="Fetch the file with `git lfs pull`, or download it from the website of the repository.",
        )
    if head.startswith(_GZIP):
        holds = "a compressed file"
        try:
            with gzip.open(path) as stream:
                holds = "a compressed archive" if stream.read(262)[257:] == b"ustar" else holds
        except (OSError, EOFError):
            pass
        raise DataError(f"{path} is {holds}, not a checkpoint.", fix="Unpack it, and pass the file inside.")


def refuse_plain_pickle(path: Path, head: bytes) -> None:
    """Refuse a pickle that torch did not write, with the names of the classes that it needs."""
    names: list[Global] = []
    with open(path, "rb") as file, Mapped(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        try:
            names = names_in(stream)
        except FAULTS:
            if head[:1] != b"\x80" or head[1:2] > b"\x05":  # only protocols 2 and later start with their number
                return
    needs = f", and needs {listed(names)} from the program that wrote it" if names else ""
    raise DataError(
        f"{path} is a plain pickle, not a file of torch.save{needs}; nothing in it was run.",
        fix="Load it with that program, and save the network's state_dict() with torch.save or safetensors.",
    )


def read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file."""
    with opened(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_array(path: Path) -> Any:
    """The array of a .npy file; the content of an array of objects, unwrapped if it is a single object."""
    with open(path, "rb") as file:
        stream = Mapped(file.fileno(), 0, access=mmap.ACCESS_COPY)
    header = {(1, 0): numpy_format.read_array_header_1_0, (2, 0): numpy_format.read_array_header_2_0}
    version = numpy_format.read_magic(stream)
    expect(version in header, f"unsupported version {version} of the numpy format")
    shape, columns_first, found = header[version](stream)
    expect(len(shape) <= MOST_DIMENSIONS and all(map(is_size, shape)), "its numpy header has an invalid shape")
    dtype = array_type(found.str).dtype
    if dtype.hasobject:
        array = resolved(read_pickle(stream, largest=len(stream))[0], no_storage)
        if not isinstance(array, ForeignArray):
            raise BadPickle("its pickle is not an array")
        held = array.values if isinstance(array.values, list) else list(array.values.flat)
        return held[0] if array.shape == () else held
    start, count = stream.tell(), math.prod(shape)
    needed = f"its shape {shape} needs {count * dtype.itemsize:,}"
    expect(len(stream) - start == count * dtype.itemsize, f"it has {len(stream) - start:,} bytes of data, but {needed}")
    return np.frombuffer(stream, dtype, count, start).reshape(shape, order="F" if columns_first else "C")


def no_storage(wanted: Storage) -> Any:
    raise BadPickle("a persistent id in a pickle without storages")
