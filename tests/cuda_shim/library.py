"""Builds the CUDA operators of csrc/cuda for the host, and switches the operators of CPU tensors to them.

The objects lie in .build/cuda-shim under the hash of what they are made of. The processes of a test run share the work:
each compiles what no other is compiling, and then waits for the rest.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from copgen.runtime.native import native
from tests.cuda_shim.translation import translated

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TORCH = Path(torch.__file__).parent
CSRC = ROOT / "csrc"
ELSEWHERE = "COPGEN_CUDA_SOURCES"  # a folder of sources in the place of csrc/cuda
CACHE = ROOT / ".build" / "cuda-shim"
HOST = "host.cpp"
RUNTIME = ("runtime.cpp", "fibres.cpp", "device.cpp")  # never with a sanitizer
OPTIONS = ("-std=c++20", "-fPIC", "-O1", "-ffp-contract=off", "-w")
SANITIZERS = {"": (), "address": ("-fsanitize=address", "-g"), "thread": ("-fsanitize=thread", "-g")}
Sources = dict[str, str]


class Unit(NamedTuple):
    """What one run of the compiler is given: a name, a text, and options of its own."""

    name: str
    text: str
    options: tuple[str, ...]


def cuda_sources() -> Sources:
    """The texts of csrc/cuda by their names."""
    folder = Path(os.environ.get(ELSEWHERE, CSRC / "cuda"))
    return {path.name: path.read_text() for path in sorted(folder.iterdir()) if path.is_file()}


def missing() -> str:
    """Why the operators cannot be built here; empty if they can be."""
    if sys.platform != "linux":
        return "the fibres are those of Linux"
    if shutil.which(compiler()[0]) is None:
        return f"no C++ compiler '{compiler()[0]}'"
    if not (TORCH / "include" / "torch" / "library.h").exists():
        return "torch is installed without its C++ headers"
    return ""


def compiler() -> list[str]:
    """The C++ compiler's command."""
    return os.environ.get("CXX", "c++").split()


def sanitizer() -> str:
    """The sanitizer that the operators are compiled with: "address", "thread" or none."""
    return {"1": "address", "thread": "thread"}.get(os.environ.get("COPGEN_SANITIZE", ""), "")


def units(sources: Sources) -> list[Unit]:
    """The translation units, the slowest one first: all host code in one, as torch's headers take the time."""
    host = "\n".join(
        translated(
            text.replace("namespace copgen::cuda {", f"namespace copgen::cuda::{Path(name).stem}_on_host {{"), name
        )
        for name, text in sources.items()
        if name.endswith(".cpp")
    )
    watched = SANITIZERS[sanitizer()]
    with_torch = ("-isystem", str(TORCH / "include"), *watched)
    registrations = (HERE / "registrations.cpp").read_text()
    found = [Unit(HOST, f'#include "host.h"\n{host}\n{translated(registrations, "registrations.cpp")}', with_torch)]
    found += [
        Unit(f"{Path(name).stem}.cpp", translated(text, f"csrc/cuda/{name}"), watched)
        for name, text in sources.items()
        if name.endswith(".cu")
    ]
    return [*found, *(Unit(name, (HERE / name).read_text(), ()) for name in RUNTIME)]


def headers(sources: Sources) -> Sources:
    """The headers by their paths below a folder of csrc's shape, and the shim's own."""
    of_cuda = {
        f"cuda/{name}": translated(text, f"csrc/cuda/{name}") for name, text in sources.items() if name.endswith("h")
    }
    above = {path.name: path.read_text() for path in CSRC.glob("*.h")}
    of_cuda["cuda/torch_cuda.h"] = (HERE / "torch_cuda.h").read_text()
    shim = {str(path.relative_to(HERE)): path.read_text() for path in sorted(HERE.rglob("*.h"))}
    return {**of_cuda, **above, **{f"shim/{name}": text for name, text in shim.items()}}


def build(sources: Sources | None = None) -> Path:
    """The library of these sources, those of csrc/cuda by default."""
    sources = cuda_sources() if sources is None else sources
    beside = headers(sources)
    folder = CACHE / _hash(*(part for item in sorted(beside.items()) for part in item))
    CACHE.mkdir(parents=True, exist_ok=True)
    objects = []
    with _locked():
        for name, text in beside.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        for unit in units(sources):
            read = [text for name, text in beside.items() if unit.name != HOST or not name.endswith(".cuh")]
            key = _hash(*read, *unit.options, *OPTIONS, unit.text, _version(), torch.__version__)
            objects.append(CACHE / f"{Path(unit.name).stem}-{key}.o")
            _once(objects[-1], partial(_compile, unit, folder))
        library = CACHE / f"{_hash(*(path.name for path in objects))}.so"
        _once(library, partial(_link, objects))
    return library


def _compile(unit: Unit, folder: Path, out: Path) -> None:
    source = folder / "cuda" / f"{out.stem}.{unit.name}"
    source.write_text(unit.text)
    paths = [f"-I{folder / 'shim' / 'include'}", f"-I{folder / 'shim'}"]
    _run(*compiler(), "-c", *OPTIONS, *unit.options, *paths, str(source), "-o", str(out))


def _link(objects: list[Path], out: Path) -> None:
    at = [f"-L{TORCH / 'lib'}", f"-Wl,-rpath,{TORCH / 'lib'}", "-ltorch", "-ltorch_cpu", "-lc10"]
    watched = SANITIZERS[sanitizer()]
    _run(*compiler(), "-shared", *watched, *map(str, objects), *at, "-o", str(out))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


def _once(path: Path, make: Callable[[Path], None]) -> None:
    """Make a file unless it is there."""
    if not path.exists():
        unfinished = path.with_name(f"unfinished-{path.name}")
        make(unfinished)
        unfinished.rename(path)


@contextmanager
def _locked() -> Iterator[None]:
    with (CACHE / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@cache
def _version() -> str:
    return subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=True).stdout


def _hash(*texts: str) -> str:
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=8).hexdigest()


@cache
def loaded() -> CudaOnHost:
    """The operators as they are in csrc/cuda; the first call in a checkout compiles for half a minute."""
    return CudaOnHost(build())


class CudaOnHost:
    """A built library."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))

    @contextmanager
    def answering(self, *, seed: int, processors: int = 3, shared_bytes: int = 227 << 10) -> Iterator[None]:
        """Let it answer for tensors on the CPU, as a device of so many multiprocessors.

        Args:
            seed: of the order in which threads and blocks run.
            processors: the device's multiprocessors.
            shared_bytes: the most shared memory of a block.
        """
        native()  # whose operators are to be registered first
        self._library.copgen_shim_enable(ctypes.c_uint64(seed), processors, shared_bytes)
        try:
            yield
        finally:
            self._library.copgen_shim_disable()

    def function(self, name: str, result: Any) -> Callable[..., Any]:
        """One of its C functions, with the type of its result."""
        found: Any = getattr(self._library, name)
        found.restype = result
        return cast("Callable[..., Any]", found)

    def launched(self) -> set[str]:
        """The names of the kernels that were launched since it last began to answer."""
        names: bytes = self.function("copgen_shim_launched", ctypes.c_char_p)()
        return set(names.decode().split())
