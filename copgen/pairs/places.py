"""Paths of the input files that a plan knows by their hashes, so that a shard can be regenerated without passing them.

`places.json` affects no byte. It may be edited or removed; a file found through it is still checked against its hash.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from copgen.pairs import layout
from copgen.pairs.documents import Document
from copgen.pairs.store import Store, as_store
from copgen.runtime.errors import CopgenError, DataError

Role = Literal["weights", "instances", "navigator", "walk", "features", "filter_encoder", "tree"]


def _printable(path: str) -> str:
    """Paths are printed in commands, and control characters could manipulate a terminal."""
    if not (os.path.isabs(path) and path.isprintable()):
        raise ValueError("expected an absolute path of printable characters")
    return path


class Places(Document):
    """Absolute paths by role; `tree` is the folder that pairs were imported from."""

    format: Literal[1] = 1
    files: dict[Role, Annotated[str, AfterValidator(_printable)]] = Field(default_factory=dict)

    @classmethod
    def of(cls, paths: Mapping[Role, Path]) -> Self:
        """From paths, relative ones to the current folder; unprintable ones are left out."""
        absolute = {role: os.path.abspath(path) for role, path in paths.items()}
        return cls(files={role: place for role, place in absolute.items() if place.isprintable()})

    @classmethod
    def load(cls, folder: Path | Store) -> Self:
        """The places of a pairs folder; empty if it has no places.json.

        Raises:
            DataError: places.json is invalid.
        """
        store = as_store(folder)
        if store.size(layout.PLACES) is None:
            return cls()
        try:
            return cls.parse(store.read(layout.PLACES), store.where(layout.PLACES))
        except DataError as error:
            fix = error.fix or "Remove it: it only holds paths that can be passed as options."
            raise DataError(error.what, fix=fix) from None

    def save(self, folder: Path | Store) -> None:
        """Merge into the folder's places.json, replacing an invalid one; does not write if nothing changes."""
        store = as_store(folder)
        try:
            known = Places.load(store)
        except CopgenError:
            known = Places()
        merged = Places(files={**known.files, **self.files})
        if merged != known:
            store.write(layout.PLACES, merged.text().encode())

    def path(self, role: Role) -> Path | None:
        """The path for a role, relative if it is below the current folder; None if unknown."""
        path = self.files.get(role)
        if path is None:
            return None
        relative = os.path.relpath(path)
        return Path(path if relative.startswith((os.pardir, "-")) else relative)  # a leading dash would be an option
