"""Where the files lay that a plan knows by their hashes, so that a shard can be made anew without naming them again.

`places.json` decides no byte. It may be edited or removed, and what lies at a place is still held against the hash.
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

Role = Literal["weights", "instances", "navigator", "walk", "filter_encoder", "tree"]


def _fit_to_print(place: str) -> str:
    """Such a path is printed in commands; one with control characters could redraw a terminal."""
    if not (os.path.isabs(place) and place.isprintable()):
        raise ValueError("a place is an absolute path of printable characters")
    return place


class Places(Document):
    """Absolute paths, by what lies there; a `tree` is what pairs were imported from."""

    format: Literal[1] = 1
    files: dict[Role, Annotated[str, AfterValidator(_fit_to_print)]] = Field(default_factory=dict)

    @classmethod
    def of(cls, paths: Mapping[Role, Path]) -> Self:
        """Those of these paths that can be written down; relative ones are below the current folder."""
        absolute = {role: os.path.abspath(path) for role, path in paths.items()}
        return cls(files={role: place for role, place in absolute.items() if place.isprintable()})

    @classmethod
    def load(cls, folder: Path | Store) -> Self:
        """Those of a pairs folder; none where nothing is written down.

        Raises:
            DataError: what is there is broken.
        """
        store = as_store(folder)
        if store.size(layout.PLACES) is None:
            return cls()
        try:
            return cls.parse(store.read(layout.PLACES), store.where(layout.PLACES))
        except DataError as error:
            fix = error.fix or "Remove it: it only says where files were, which options can say."
            raise DataError(error.what, fix=fix) from None

    def save(self, folder: Path | Store) -> None:
        """Add them to what is there, and replace what is broken; the same ones again change nothing."""
        store = as_store(folder)
        try:
            there = Places.load(store)
        except CopgenError:
            there = Places()
        together = Places(files={**there.files, **self.files})
        if together != there:
            store.write(layout.PLACES, together.text().encode())

    def path(self, role: Role) -> Path | None:
        """One of them, relative where it lies below the current folder; None where it is not known."""
        place = self.files.get(role)
        if place is None:
            return None
        near = os.path.relpath(place)
        return Path(place if near.startswith((os.pardir, "-")) else near)  # a dash would make it an option
