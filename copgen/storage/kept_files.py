"""Files that are read at random places again and again: opening one for each read is slow on a file server."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Self

MOST = 128


class OpenFile:
    """A file that is open for reading: inside its `with` block, or while something refers to it.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be opened.
    """

    number = -1  # the descriptor

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def read(self, size: int, offset: int) -> bytes:
        """Its bytes from an offset on, fewer at its end; meanwhile the caller refers to it, so that it stays open."""
        return os.pread(self.number, size, offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self.__del__()

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)
            self.number = -1


class KeptFiles:
    """The files that were opened last stay open, for all threads, and for processes that are forked.

    Args:
        most: how many, beside those that a thread is reading.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        # No lock, which a fork could copy while it is held: operations on it are atomic, as text is compared without
        # running Python (a Path is not), and no file is replaced, whose end would run some.
        self._files: OrderedDict[str, OpenFile] = OrderedDict()

    def __getitem__(self, path: Path) -> OpenFile:
        """The file. Errors as `OpenFile`."""
        name = str(path)
        file = self._files.get(name)
        if file is not None:
            return file
        file = self._files.setdefault(name, OpenFile(path))
        if len(self._files) > self._most:
            self._files.popitem(last=False)  # closed when no thread refers to it
        return file
