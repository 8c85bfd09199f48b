"""The calls that are carried out when a foreign pickle asks for them: by functions here, never by those that it names.

They rebuild tensors as views of storages that are in the file, arrays from bytes that are in the file, and Python's
plain containers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from copgen.storage.foreign.containers import Global, Opaque
from copgen.storage.foreign.machine import Call, is_key, set_of
from copgen.storage.foreign.opcodes import BadPickle

_DTYPES = {
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
}
_BY_STORAGE = {f"{name}Storage": dtype for name, dtype in _DTYPES.items()} | {"UntypedStorage": torch.uint8}
_BY_NAME = {str(dtype).removeprefix("torch."): dtype for dtype in _DTYPES.values()}
_MOST_DIMENSIONS = 16
PLAIN_TYPE = r"[<|=]?(?:b1|f[248]|[iu][1248]|c(?:8|16)|[SU][0-9]{1,4})"  # of numpy: little-endian numbers and text

Storages = Callable[[str, torch.dtype, int], Tensor]


def label(value: object) -> str:
    """A value in a message, always in a few characters: containers can hold themselves."""
    if isinstance(value, Global):
        return str(value)
    return repr(value[:40]) if isinstance(value, str) else f"a {type(value).__name__}"


def storage_dtype(kind: object) -> torch.dtype:
    """The element type of a storage class by its name."""
    if isinstance(kind, Global) and kind.module in ("torch", "torch.storage", "torch.cuda"):
        known = _BY_STORAGE.get(kind.name)
        if known is not None:
            return known
    raise BadPickle(f"a tensor is kept in {label(kind)}, which is no storage of numbers")


def persistent_id(storages: Storages) -> Call:
    """Persistent ids name storages and, in files from before torch 1.6, classes of whole modules with their source."""

    def resolve(identity: Any) -> Any:
        if isinstance(identity, tuple) and len(identity) >= 2:
            if identity[0] == "module" and isinstance(identity[1], Global):
                return identity[1]  # its source text is not read
            if identity[0] == "storage" and len(identity) in (5, 6):
                _, kind, key, _, count = identity[:5]
                if not isinstance(key, str) or not is_size(count):
                    raise BadPickle("a persistent id without the name and the size of its storage")
                whole = storages(key, storage_dtype(kind), count)
                return view_of(whole, identity[5]) if len(identity) == 6 and identity[5] is not None else whole
        raise BadPickle("a persistent id that is neither a storage nor a module")

    return resolve


def no_persistent_id(identity: Any) -> Any:
    raise BadPickle("a persistent id in a pickle that has no storages")


def is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def view_of(whole: Tensor, view: Any) -> Tensor:
    """A part of a storage: (its name, first element, elements)."""
    if not (isinstance(view, tuple) and len(view) == 3 and is_size(view[1]) and is_size(view[2])):
        raise BadPickle("a view of a storage without place and size")
    if view[1] + view[2] > whole.numel():
        raise BadPickle(f"a view of {view[2]:,} elements of a storage of {whole.numel():,}")
    return whole[view[1] : view[1] + view[2]]


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    """A tensor as a view of its storage, all of it within."""
    if not isinstance(storage, Tensor) or storage.dim() != 1:
        raise BadPickle("a tensor without a storage")
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= _MOST_DIMENSIONS):
        raise BadPickle("a tensor whose shape and strides do not go together")
    if not all(is_size(n) for n in (offset, *size, *stride)):
        raise BadPickle("a tensor with a shape, stride or offset that is no size")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # Elements may not be used twice: strides of zero make terabytes of one number.
    if count > storage.numel() or (count and last >= storage.numel()):
        raise BadPickle(f"a tensor of shape {size} in a storage of {storage.numel():,} elements")
    return storage.as_strided(size, stride, offset) if count else storage.new_empty(size)


def rebuild_typed_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any
) -> Tensor:
    """A tensor that is a view of bytes (torch's third form)."""
    known = _BY_NAME.get(dtype.name) if isinstance(dtype, Global) and dtype.module == "torch" else None
    if known is None or not isinstance(storage, Tensor) or storage.dtype != torch.uint8 or storage.dim() != 1:
        raise BadPickle(f"a tensor of type {label(dtype)} over a storage that is not of bytes")
    whole = storage[: storage.numel() // known.itemsize * known.itemsize]
    return rebuild_tensor(whole.view(known), offset, size, stride)


def rebuild_parameter(tensor: Any, *rest: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise BadPickle("a parameter without a tensor")
    return tensor


def dictionary(pairs: Any = ()) -> dict[Any, Any]:
    """An OrderedDict."""
    if not isinstance(pairs, Iterable) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and is_key(pair[0]) for pair in pairs
    ):
        raise BadPickle("an OrderedDict of what are no pairs of a scalar and a value")
    return dict(pairs)


def members(values: Any = ()) -> set[Any]:
    if not isinstance(values, list | tuple | set):
        raise BadPickle("a set of what is no list")
    return set_of(list(values))


def encoded(text: Any, encoding: Any) -> bytes:
    """Bytes in protocol 2, which has none of its own."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise BadPickle("a text to encode that is no text, or not into latin-1")
    return text.encode("latin-1")


def old_instance(kind: Any, base: Any, state: Any) -> Opaque:
    """An object in protocols 0 and 1."""
    if not isinstance(kind, Global) or not isinstance(base, Global) or base.name != "object" or state is not None:
        raise BadPickle(f"an object of {label(kind)}, built on {label(base)}")
    return Opaque(kind)


class ArrayType:
    """A numpy dtype of plain numbers, text or objects; big-endian ones are refused."""

    def __init__(self, code: Any, *rest: Any) -> None:
        self.objects = code in ("O", "O8", "|O")
        if not isinstance(code, str) or not (self.objects or re.fullmatch(PLAIN_TYPE, code)):
            raise BadPickle(f"an array of type {label(code)}")
        self.dtype = np.dtype("O" if self.objects else code)

    def inert_build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 3 or state[1] not in ("<", "|", "=") or state[2] is not None:
            raise BadPickle("an array of big-endian or compound type")


class ForeignArray:
    """A numpy array, as the bytes or the list that its pickle holds."""

    def __init__(self, *shape_of_a_stub: Any) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.values: list[Any] | np.ndarray[Any, Any] = []

    def inert_build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise BadPickle("an array without shape, type and values")
        _, shape, kind, columns_first, raw = state
        if not (isinstance(shape, tuple) and all(map(is_size, shape)) and isinstance(kind, ArrayType)):
            raise BadPickle("an array whose shape or type is none")
        count = math.prod(shape)
        held = len(raw) if isinstance(raw, bytes | list) else -1
        if isinstance(raw, list) != kind.objects or held != count * (1 if kind.objects else kind.dtype.itemsize):
            raise BadPickle(f"an array of shape {shape} with {held:,} values or bytes")
        self.shape = shape
        if isinstance(raw, bytes):
            flat = np.frombuffer(raw, kind.dtype)
            self.values = flat.reshape(shape, order="F") if columns_first is True else flat.reshape(shape)
        else:
            self.values = raw

    def numpy(self) -> np.ndarray[Any, Any]:
        """The array.

        Raises:
            BadPickle: it holds objects.
        """
        if isinstance(self.values, list):
            raise BadPickle("an array of objects where one of numbers belongs")
        return self.values

    def items(self) -> list[Any]:
        """What an array of objects holds, in its order."""
        return self.values if isinstance(self.values, list) else list(self.values.flat)


def array_scalar(kind: Any, raw: Any) -> Any:
    """A numpy number as Python's own."""
    if not isinstance(kind, ArrayType) or kind.objects or not isinstance(raw, bytes) or len(raw) != kind.dtype.itemsize:
        raise BadPickle("a numpy number without its type or bytes")
    return np.frombuffer(raw, kind.dtype)[0].item()


def rebuild_array(kind: Any, *rest: Any) -> ForeignArray:
    if not isinstance(kind, Global) or kind != Global("numpy", "ndarray"):
        raise BadPickle(f"an array of class {label(kind)}")
    return ForeignArray()


def torch_device(kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or not (index is None or is_size(index)):
        raise BadPickle("a torch.device of what is no name and number")
    return kind if index is None else f"{kind}:{index}"


def size(values: Any = ()) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise BadPickle("a torch.Size of what is no tuple")
    return tuple(values)


def octets(value: Any = b"") -> bytes:
    if not isinstance(value, bytes):
        raise BadPickle("a bytearray of what are no bytes")
    return value


_BUILTINS: dict[str, Call] = {"set": members, "frozenset": members, "bytearray": octets}

CALLS: Mapping[tuple[str, str], Call] = {
    ("torch._utils", "_rebuild_tensor"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): rebuild_typed_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): rebuild_parameter,
    ("torch", "Size"): size,
    ("torch", "device"): torch_device,
    ("collections", "OrderedDict"): dictionary,
    ("collections", "defaultdict"): lambda factory=None: {},
    ("_codecs", "encode"): encoded,
    ("copyreg", "_reconstructor"): old_instance,
    ("copy_reg", "_reconstructor"): old_instance,
    ("numpy", "dtype"): ArrayType,
    **{(module, name): call for module in ("builtins", "__builtin__") for name, call in _BUILTINS.items()},
    **{
        (f"numpy.{core}.multiarray", name): call
        for core in ("core", "_core")
        for name, call in (("_reconstruct", rebuild_array), ("scalar", array_scalar))
    },
}
