"""Builders for the calls in a foreign pickle, which replace the functions that it names.

Each returns a record or a plain value, and must accept any arguments.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from copgen.storage.foreign.records import (
    MOST_DIMENSIONS,
    ArrayType,
    BadPickle,
    Dictionary,
    ForeignArray,
    Global,
    Opaque,
    Storage,
    Strided,
    expect,
    is_key,
    is_size,
    label,
)

_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
    "Untyped": torch.uint8,
}
_BY_NAME = {f"{module}.{name}Storage": dtype for name, dtype in _STORAGES.items()
            for module in ("torch", "torch.storage", "torch.cuda")}  # fmt: skip
_DTYPES = {str(dtype): dtype for dtype in _STORAGES.values()}
_PLAIN_TYPE = re.compile(r"[<|=]?(?:b1|f[248]|[iu][1248]|c(?:8|16)|[SU][0-9]{1,4})")  # little-endian numbers and text
_OBJECTS = ("O", "O8", "|O")


def storage(identity: Any) -> Any:
    """The object of a persistent id: a storage or, in files from before torch 1.6, a class with its source code."""
    kind, *rest = identity if isinstance(identity, tuple) and identity else (None,)
    if kind == "module" and rest and isinstance(rest[0], type):
        return rest[0]  # the source code is ignored
    expect(kind == "storage" and len(rest) in (4, 5), "a persistent id that is neither a storage nor a module")
    dtype = _BY_NAME.get(label(rest[0]))
    if dtype is None:
        raise BadPickle(f"a tensor is kept in {label(rest[0])}, which is not a numeric storage")
    key, count, view = rest[1], rest[3], rest[4] if len(rest) == 5 else None
    expect(isinstance(key, str) and is_size(count), "a persistent id without the key and size of its storage")
    if view is None:
        return Storage(key, dtype, count, 0, count)
    fine = isinstance(view, tuple) and len(view) == 3 and is_size(view[1]) and is_size(view[2])
    expect(fine and view[1] + view[2] <= count, "a view outside of its storage")
    return Storage(key, dtype, count, view[1], view[2])


def strided(dtype: torch.dtype, held: int, whole: Any, offset: Any, size: Any, stride: Any) -> Strided:
    """A tensor of at most `held` elements, within its storage."""
    fine = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= MOST_DIMENSIONS
    expect(fine, "a tensor with inconsistent sizes and strides")
    expect(all(map(is_size, (offset, *size, *stride))), "a tensor with an invalid shape, stride or offset")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # Elements must not be repeated: strides of zero could make terabytes from one number.
    expect(count <= held and (not count or last < held), f"a tensor of shape {size} in a storage of {held:,} elements")
    return Strided(whole, dtype, offset, size, stride)


def rebuild_tensor(whole: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Strided:
    expect(isinstance(whole, Storage), "a tensor without a storage")
    return strided(whole.dtype, whole.count, whole, offset, size, stride)


def rebuild_typed_tensor(whole: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, kind: Any) -> Strided:
    """A tensor that is a view of bytes (torch's third form)."""
    dtype = _DTYPES.get(label(kind))
    if dtype is None or not isinstance(whole, Storage) or whole.dtype != torch.uint8:
        raise BadPickle(f"a tensor of type {label(kind)} over a storage that is not uint8")
    return strided(dtype, whole.count // dtype.itemsize, whole, offset, size, stride)


def rebuild_parameter(tensor: Any, *rest: Any) -> Any:
    expect(isinstance(tensor, Strided), "a parameter without a tensor")
    return tensor


def dictionary(pairs: Any = ()) -> Dictionary:
    """An OrderedDict."""
    fine = isinstance(pairs, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs)
    expect(fine and all(is_key(key) for key, _ in pairs), "an OrderedDict with items other than (scalar, value)")
    return Dictionary(pairs)


def members(values: Any = ()) -> set[Any]:
    """A set or frozenset."""
    expect(isinstance(values, list | tuple | set), "a set of something other than a list")
    expect(all(map(is_key, values)), "a set has members that are not scalars")
    return set(values)


def encoded(text: Any, encoding: Any) -> bytes:
    """Bytes in protocol 2, which has no opcode for them."""
    fine = isinstance(text, str) and encoding in ("latin1", "latin-1")
    expect(fine, "a call of encode with other arguments than a text and latin-1")
    return bytes(text, "latin-1")


def octets(value: Any = b"") -> bytes:
    """A bytearray."""
    expect(isinstance(value, bytes), "a bytearray of something other than bytes")
    return bytes(value)


def old_instance(kind: Any, base: Any, state: Any) -> Opaque:
    """An object in protocols 0 and 1."""
    fine = isinstance(kind, type) and issubclass(kind, Opaque) and label(base).endswith(".object") and state is None
    expect(fine, f"an object of {label(kind)}, built on {label(base)}")
    made: Opaque = kind.__new__(kind)
    return made


def array_type(code: Any, *rest: Any) -> ArrayType:
    """A numpy dtype."""
    plain = isinstance(code, str) and (code in _OBJECTS or bool(_PLAIN_TYPE.fullmatch(code)))
    expect(plain, f"an array of type {label(code)}")
    return ArrayType(np.dtype("O" if code in _OBJECTS else code))


def rebuild_array(kind: Any, *rest: Any) -> ForeignArray:
    expect(label(kind) == "numpy.ndarray", f"an array of class {label(kind)}")
    return ForeignArray()


def array_scalar(kind: Any, raw: Any) -> Any:
    """A numpy scalar as a Python number."""
    fine = isinstance(kind, ArrayType) and not kind.dtype.hasobject and isinstance(raw, bytes)
    expect(fine and len(raw) == kind.dtype.itemsize, "a numpy scalar with an invalid dtype or size")
    return np.frombuffer(raw, kind.dtype)[0].item()


def device(kind: Any, index: Any = None) -> str:
    expect(
        isinstance(kind, str) and (index is None or is_size(index)),
        "a torch.device with arguments other than a type and an index",
    )
    return str(kind) if index is None else f"{kind}:{index}"


def size(values: Any = ()) -> tuple[int, ...]:
    expect(isinstance(values, list | tuple) and all(map(is_size, values)), "a torch.Size with invalid sizes")
    return tuple(values)


Calls = Mapping[Global, Callable[..., Any]]

CALLS: Calls = {
    Global(module, name): builder
    for modules, name, builder in (
        ("torch._utils", "_rebuild_tensor", rebuild_tensor),
        ("torch._utils", "_rebuild_tensor_v2", rebuild_tensor),
        ("torch._utils", "_rebuild_tensor_v3", rebuild_typed_tensor),
        ("torch._utils", "_rebuild_parameter", rebuild_parameter),
        ("torch._utils", "_rebuild_parameter_with_state", rebuild_parameter),
        ("torch", "Size", size),
        ("torch", "device", device),
        ("collections", "OrderedDict", dictionary),
        ("collections", "defaultdict", lambda factory=None: Dictionary()),
        ("_codecs", "encode", encoded),
        ("copyreg copy_reg", "_reconstructor", old_instance),
        ("builtins __builtin__", "set", members),
        ("builtins __builtin__", "frozenset", members),
        ("builtins __builtin__", "bytearray", octets),
        ("numpy", "dtype", array_type),
        ("numpy.core.multiarray numpy._core.multiarray", "_reconstruct", rebuild_array),
        ("numpy.core.multiarray numpy._core.multiarray", "scalar", array_scalar),
    )
    for module in modules.split()
}
