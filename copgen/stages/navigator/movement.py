"""A trained movement of latents: the navigator or steering walk at a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copgen.latents import navigator as navigators
from copgen.latents import walks
from copgen.latents.navigator import Navigator, load_navigator_with_header
from copgen.latents.run_files import navigator_file
from copgen.latents.transforms import LatentTransform, Optimal
from copgen.latents.walks import Steering, Walk, load_walk
from copgen.runtime.errors import DataError
from copgen.storage.tensors import load_tensors


@dataclass(frozen=True)
class Movement:
    """A navigator or walk and its file.

    Attributes:
        file: its path.
        held: the weights.
        made_by: the provenance in its header.
    """

    file: Path
    held: Navigator | Walk
    made_by: dict[str, Any]

    @property
    def kind(self) -> str:
        """navigator or walk."""
        return "navigator" if isinstance(self.held, Navigator) else "walk"

    def transform(self, seed: int) -> LatentTransform:
        """The movement as a latent transform; `seed` decides the edits of a walk, noise and signs of a navigator."""
        return Optimal(self.held, seed) if isinstance(self.held, Navigator) else Steering(self.held, seed)


def load_movement(path: Path) -> Movement:
    """The navigator or walk in a file or run folder.

    Raises:
        DataError: there is neither, or it fails verification.
    """
    file = navigator_file(path)
    beside = file.with_name(walks.FILE_NAME)
    if file.name == navigators.FILE_NAME and not file.is_file() and beside.is_file():
        file = beside
    if file.name == walks.FILE_NAME or (file.is_file() and _holds_walk(file)):
        walk, header = load_walk(file)
        return Movement(file, walk, dict(header.get("made_by") or {}))
    navigator, header = load_navigator_with_header(file)
    return Movement(file, navigator, dict(header.get("made_by") or {}))


def _holds_walk(file: Path) -> bool:
    try:
        load_tensors(file, kind=walks.KIND)
    except DataError:
        return False  # a navigator, or a file that the navigator loader refuses with the reason
    return True
