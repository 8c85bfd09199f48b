"""Training state on disk: tensors in safetensors, everything else as JSON in its header, and a record written last.

A checkpoint is a tree of dictionaries and lists with tensors, numbers and strings at its leaves, such as
{"update": 40, "navigator": state_dict, "optimizer": optimizer.state_dict()}. `update-00000040.safetensors` holds it,
`update-00000040.json` records its sha256; a checkpoint without a matching record is ignored.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from copgen.runtime.errors import DataError
from copgen.runtime.events import Events
from copgen.storage.files import TEMPORARY_SUFFIX, read_json, sha256_of, write_json
from copgen.storage.state_tree import pack, unpack
from copgen.storage.tensors import load_tensors, save_tensors

State = dict[str, Any]
KEPT = 2
_NAME = re.compile(r"update-(\d+)\.json")


def _update_of(record: Path) -> int:
    return int(record.stem.removeprefix("update-"))


class Checkpoints:
    """The checkpoints of a run folder; the newest `keep` are kept."""

    def __init__(self, folder: Path, *, keep: int = KEPT) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, update: int, state: State) -> None:
        """Write the state after `update` updates, then drop all but the newest `keep` up to it.

        Checkpoints of later updates are dropped too: a run resumes from before them only if they are damaged, and they
        must not displace valid ones. A file that cannot be deleted is kept.
        """
        tensors: dict[str, Tensor] = {}
        tree = pack(state, tensors)
        path = self.folder / f"update-{update:08d}.safetensors"
        save_tensors(path, tensors, kind="checkpoint", header={"tree": tree})
        write_json(path.with_suffix(".json"), {"update": update, "sha256": sha256_of(path)})
        recorded = self._recorded()
        kept = [record for record in recorded if _update_of(record) <= update][-self.keep :]
        for record in recorded:
            if record not in kept:
                # The record first: after a crash in between, the file left behind is ignored.
                with contextlib.suppress(OSError):
                    record.unlink()
                    record.with_suffix(".safetensors").unlink(missing_ok=True)

    def _recorded(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted((path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)), key=_update_of)

    def newest(self, events: Events) -> State | None:
        """The newest valid checkpoint, or None; a damaged one is skipped with a warning."""
        self._remove_strays(events)
        records = self._recorded()
        for place, record in reversed([*enumerate(records)]):
            try:
                return self._load(record)
            except DataError as error:
                otherwise = "Using the previous checkpoint" if place else "There is no other: starting from scratch"
                events.warn(f"{error} {otherwise}.")
        return None

    def last(self) -> tuple[int, State]:
        """The update and state of the newest valid checkpoint, to look at; unlike `newest` it changes no file.

        Raises:
            DataError: there is none.
        """
        for record in reversed(self._recorded()):
            with contextlib.suppress(DataError):
                return _update_of(record), self._load(record)
        raise DataError(f"There is no valid checkpoint in {self.folder}.")

    def _remove_strays(self, events: Events) -> None:
        """Remove the files of a `save` that crashed."""
        for path in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            unrecorded = path.suffix == ".safetensors" and not path.with_suffix(".json").exists()
            if unrecorded:
                events.warn(f"Removing the unfinished checkpoint {path} (it has no record).")
            if unrecorded or path.name.endswith(TEMPORARY_SUFFIX):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _load(self, record: Path) -> State:
        path = record.with_suffix(".safetensors")
        known = read_json(record)
        digest = known.get("sha256") if isinstance(known, dict) else None
        if not path.is_file() or sha256_of(path) != digest:
            raise DataError(f"Checkpoint {path} is missing or damaged (its sha256 differs from its record).")
        tensors, header = load_tensors(path, kind="checkpoint")
        state: State = unpack(header["tree"], tensors)
        return state
