"""Rows of a long computation on disk as they are made, so that it resumes after a kill.

Rows are written once `SECONDS` have passed since the last time, in a file for each part, and the folder is removed when
the whole is done. What is damaged, or belongs to another computation, is computed again.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from copgen.runtime.errors import EnvironmentFault
from copgen.storage.tensors import load_kept, save_tensors

KIND = "rows"
SECONDS = 20.0


@dataclass
class Parts:
    """The parts of a tensor of N rows.

    Attributes:
        folder: of the files.
        key: a hash of everything that determines the rows.
    """

    folder: Path
    key: str
    written: int = field(default=0, init=False)
    last: float = field(default=0.0, init=False)

    def resume(self, rows: Tensor) -> int:
        """Fill in what is there, from the first row on; returns how many rows that are."""
        self.written, self.last = 0, time.monotonic()
        for path in sorted(self.folder.glob("*.safetensors")) if self.folder.is_dir() else ():
            part = self._part(path)
            fits = part is not None and part.shape[1:] == rows.shape[1:] and part.dtype == rows.dtype
            if part is None or not fits or self.written + len(part) > len(rows) or path != self._path(self.written):
                path.unlink()
                continue
            rows[self.written : self.written + len(part)] = part
            self.written += len(part)
        return self.written

    def reached(self, rows: Tensor, done: int) -> None:
        """Told that rows up to `done` are there; writes the new ones from time to time."""
        if time.monotonic() - self.last < SECONDS:
            return
        some = {"rows": rows[self.written : done]}
        try:
            save_tensors(self._path(self.written), some, kind=KIND, header={"key": self.key}, alone=False)
        except EnvironmentFault:
            if self.folder.exists():
                raise
            done = 0  # another evaluation of the same rows has ended meanwhile, and removed the folder
        self.written, self.last = done, time.monotonic()

    def remove(self) -> None:
        """Of a finished computation."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, start: int) -> Path:
        return self.folder / f"rows-{start:012d}.safetensors"

    def _part(self, path: Path) -> Tensor | None:
        found = load_kept(path, kind=KIND, key=self.key)
        return None if found is None else found[0].get("rows")
