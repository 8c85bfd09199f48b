"""Inert stand-ins for the contents of a foreign pickle: labels, bags of attributes, locations of tensors.

An unpickler calls classes, passes state to objects through `__setstate__`, `append`, `extend` and `__setitem__`, and
sets the attributes of those without `__setstate__`. So everything that it can reach is a class of this file, or one of
Python's containers and scalars.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeGuard

import numpy as np
import torch
from torch import Tensor

_SCALARS = (str, bytes, float, bool, type(None))
LARGEST_KEY = 2**64  # larger integers can be chosen to collide in a dictionary, which then takes forever
MOST_DIMENSIONS = 32
_COPIED = (str, bytes, list, tuple, dict, set)
_LIBRARIES = ("builtins", "__builtin__", "_codecs", "collections", "copyreg", "copy_reg", "numpy", "torch")


class BadPickle(ValueError):
    """The reason why a file cannot be read."""


def expect(fine: bool, problem: str) -> None:
    """Refuse the file unless `fine`."""
    if not fine:
        raise BadPickle(problem)


def is_key(value: object) -> bool:
    """Keys and set members must be scalars: hashing nested tuples can be made to take forever."""
    return isinstance(value, _SCALARS) or (isinstance(value, int) and abs(value) < LARGEST_KEY)


def is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def label(value: object) -> str:
    """A short form of a value for a message; containers may contain themselves."""
    if isinstance(value, type) and issubclass(value, Inert):
        return listed([value.kind])
    return repr(value[:40]) if isinstance(value, str) else f"a {type(value).__name__}"


def listed(names: Iterable[Global], most: int = 8) -> str:
    """Names in a file for a message: a few, shortened and printable, those of programs before those of libraries."""
    order = sorted(f"{name!s:.80}" for name in names)
    order.sort(key=lambda name: name.partition(".")[0] in _LIBRARIES)
    text = ", ".join(order[:most]) + (", ..." if len(order) > most else "")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


@dataclass(frozen=True)
class Global:
    """The name of a class or function, which was never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Ledger:
    """The accounts of a pickle: the names that it tried to call, and the number of bytes it may still copy."""

    def __init__(self, left: int) -> None:
        self.called: set[Global] = set()
        self.left = left

    def charge(self, values: tuple[Any, ...]) -> None:
        """Limit repeated copies of one value, which valid files do not have."""
        self.left -= sum(len(one) for one in values if isinstance(one, _COPIED))
        expect(self.left >= 0, "its content would be larger than the file")


class Inert:
    """The base of all objects that the unpickler may reach; it drops unneeded state.

    For each name in a pickle there is a subclass of `Known` or `Opaque`, and `kind` is the name.
    """

    kind: ClassVar[Global]
    ledger: ClassVar[Ledger]

    def __setstate__(self, state: Any) -> None:
        pass


class Known(Inert):
    """A name with a builder; calling it returns the result of the builder."""

    builder: ClassVar[Callable[..., Any]]

    def __new__(cls, /, *arguments: Any) -> Any:
        cls.ledger.charge(arguments)
        return cls.builder(*arguments)


class Opaque(Inert):
    """An object of an unknown class: its attributes, items and entries in the pickle."""

    state: dict[str, Any]
    items: list[Any]
    entries: dict[Any, Any]

    def __new__(cls, /, *arguments: Any, **keywords: Any) -> Opaque:
        if arguments or keywords:
            cls.ledger.called.add(cls.kind)
        self = super().__new__(cls)
        self.state, self.items, self.entries = {}, [], {}
        return self

    def __init__(self, /, *arguments: Any, **keywords: Any) -> None:
        self.ledger.called.add(self.kind)  # only calls reach this: instantiation goes through __new__

    def __repr__(self) -> str:
        return f"<inert {self.kind}>"

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)  # (attributes, slots) of classes with __slots__
        self.ledger.charge((*parts, parts))
        for part in parts:
            if isinstance(part, dict):
                self.state.update({str(key): value for key, value in part.items()})
            elif part is not None:
                self.items.append(part)

    def append(self, item: Any) -> None:
        self.items.append(item)

    def extend(self, items: Iterable[Any]) -> None:
        self.items.extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        expect(is_key(key), f"an object has a key of type {type(key).__name__}")
        self.entries[key] = value


class Dictionary(Inert, dict[Any, Any]):
    """An OrderedDict or defaultdict."""


@dataclass(frozen=True, eq=False)
class Storage(Inert):
    """`count` elements, from `first`, of a storage with `whole` elements in the file."""

    key: str
    dtype: torch.dtype
    whole: int
    first: int
    count: int


@dataclass(frozen=True, eq=False)
class Strided(Inert):
    """A tensor: its location in its storage."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self, whole: Tensor) -> Tensor:
        """The tensor, as a view of its storage's elements."""
        if 0 in self.size:
            return torch.empty(self.size, dtype=self.dtype)
        if whole.dtype != self.dtype:  # torch's third form: a view of bytes
            whole = whole[: len(whole) // self.dtype.itemsize * self.dtype.itemsize].view(self.dtype)
        return whole.as_strided(self.size, self.stride, whole.storage_offset() + self.offset)


class ArrayType(Inert):
    """A numpy dtype of plain little-endian numbers, text or objects."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        plain = isinstance(state, tuple) and len(state) > 2 and state[1] in ("<", "|", "=") and state[2] is None
        expect(plain, "an array with a big-endian or structured dtype")


class ForeignArray(Inert):
    """A numpy array, as the bytes or list in the pickle."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.values: list[Any] | np.ndarray[Any, Any] = []

    def __setstate__(self, state: Any) -> None:
        expect(isinstance(state, tuple) and len(state) == 5, "an array without shape, dtype and values")
        _, shape, kind, columns_first, raw = state
        fine = isinstance(shape, tuple) and len(shape) <= MOST_DIMENSIONS and all(map(is_size, shape))
        expect(fine and isinstance(kind, ArrayType), "an array with an invalid shape or dtype")
        if isinstance(raw, str) and not kind.dtype.hasobject:  # bytes of Python 2, which the reader takes as Latin-1
            expect(raw.isascii() or max(raw) <= "\xff", "an array with text instead of bytes")
            raw = raw.encode("latin-1")
        objects, held = kind.dtype.hasobject, len(raw) if isinstance(raw, bytes | list) else -1
        needed = math.prod(shape) * (1 if objects else kind.dtype.itemsize)
        fine = isinstance(raw, list if objects else bytes) and held == needed
        expect(fine, f"an array of shape {shape} with {held:,} values or bytes")
        self.shape = shape
        if objects:
            self.values = raw
        else:
            self.values = np.frombuffer(raw, kind.dtype).reshape(shape, order="F" if columns_first is True else "C")

    def numpy(self) -> np.ndarray[Any, Any]:
        """The array.

        Raises:
            BadPickle: it holds objects.
        """
        if isinstance(self.values, list):
            raise BadPickle("an array of objects instead of numbers")
        return self.values


def is_module(value: object) -> TypeGuard[Opaque]:
    """Whether a value stands for a pickled `torch.nn.Module`."""
    return isinstance(value, Opaque) and isinstance(value.state.get("_modules"), dict)


def submodules(module: Opaque, prefix: str = "") -> Iterator[tuple[str, Opaque]]:
    """(dotted name, module) of a pickled module and all below it, in the order of `named_modules`."""
    waiting, seen = [(prefix, module)], {id(module)}
    while waiting:
        path, one = waiting.pop()
        yield path, one
        below = [(f"{path}.{name}" if path else str(name), child) for name, child in one.state["_modules"].items()]
        for name, child in reversed(below):
            if is_module(child) and id(child) not in seen:
                seen.add(id(child))
                waiting.append((name, child))


def module_tensors(module: Opaque) -> dict[str, Tensor]:
    """The parameters and buffers of a pickled module by their state-dict names."""
    found: dict[str, Tensor] = {}
    for path, one in submodules(module):
        for table in ("_parameters", "_buffers"):
            own = one.state.get(table)
            for name, value in own.items() if isinstance(own, dict) else ():
                if isinstance(value, torch.Tensor):
                    found[f"{path}.{name}" if path else str(name)] = value
    return found
