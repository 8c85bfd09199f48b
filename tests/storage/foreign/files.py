"""Files of torch.save, honest and hostile, made by the tests themselves."""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

FORMATS = ("zip", "legacy")


def save(value: object, path: Path, layout: str) -> Path:
    """`torch.save` in today's format or in that before 1.6."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch speaks of sources that it cannot find
        torch.save(value, path, _use_new_zipfile_serialization=layout == "zip")
    return path


@contextlib.contextmanager
def defined_in_main(*classes: type) -> Iterator[None]:
    """Classes as if the script that saved the file had defined them, and gone again afterwards."""
    main = sys.modules["__main__"]
    before = [(cls, cls.__module__, cls.__qualname__) for cls in classes]
    for cls in classes:
        cls.__module__, cls.__qualname__ = "__main__", cls.__name__
        setattr(main, cls.__name__, cls)
    try:
        yield
    finally:
        for cls, module, name in before:
            cls.__module__, cls.__qualname__ = module, name
            delattr(main, cls.__name__)


class NonlinearWalk(nn.Module):
    """The layout of the authors' navigator."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.walker = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim))


def authors_navigator(path: Path, *, dim: int = 120, hidden: int | None = None, layout: str = "zip") -> NonlinearWalk:
    """A navigator as the authors' script saves it: a DataParallel around a class of `__main__`, under one key."""
    walk = NonlinearWalk(dim, hidden or dim)
    wrapper = nn.DataParallel(walk, device_ids=[])
    wrapper.src_device_obj = torch.device("cuda", 0)
    with defined_in_main(NonlinearWalk):
        save({"nn_walker": wrapper}, path, layout)
    return walk


def with_pickle(path: Path, content: bytes, layout: str) -> Path:
    """A file of the given layout whose object is this pickle, and which has one storage '0' of two floats."""
    numbers = torch.tensor([1.0, 2.0]).numpy().tobytes()
    if layout == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/data/0", numbers)
    else:
        legacy = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
        head = b"".join(pickle.dumps(value, protocol=2) for value in legacy)
        path.write_bytes(head + content + pickle.dumps([], protocol=2))
    return path


def pickled_to(folder: Path, layout: str, value: object) -> Path:
    """A hostile object, pickled by Python."""
    return with_pickle(folder / "a.pth", pickle.dumps(value, protocol=2), layout)


class Persistent(pickle.Pickler):
    """A pickler that writes chosen objects as persistent ids."""

    def __init__(self, stream: io.BytesIO, ids: dict[int, Any]) -> None:
        super().__init__(stream, protocol=2)
        self.ids = ids

    def persistent_id(self, obj: Any) -> Any:
        return self.ids.get(id(obj))
