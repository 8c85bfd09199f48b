"""A run folder: the files that a stage writes, and how the same command resumes from them.

    config.toml        the settings, fully resolved        metrics.jsonl   one object per line
    environment.json   versions, machine, inputs           log.txt         the log
    checkpoints/       training state                      previews/       pictures
    and the artefact itself (`navigator.safetensors`, `encoder.safetensors`)

Opening a folder locks it. A run starts in an empty or new folder and resumes in one with the same settings. A folder
with other settings is refused with the differences; one with any other content is refused and not touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from copgen.runtime import machine
from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from copgen.runtime.events import Events
from copgen.runtime.printable import printable
from copgen.runtime.settings import Settings, build
from copgen.runtime.settings_files import read_toml
from copgen.storage.files import TEMPORARY_SUFFIX, disk_faults, read_object, sha256_of, write_json, write_text
from copgen.storage.lock import locked, refuse_foreign
from copgen.storage.tensors import is_whole
from copgen.training.checkpoints import Checkpoints
from copgen.training.metrics import FILE_NAME as METRICS

CONFIG = "config.toml"
_ENVIRONMENT = "environment.json"
SUMMARY = "summary.json"
_RESULTS = "results.json"
_EVALUATIONS = "eval"
_FILES = (_ENVIRONMENT, METRICS, "log.txt", _RESULTS, "displacement.json")
_FOLDERS = ("checkpoints", "previews", "snapshots", "detections")


class RunFolder:
    """The run folder of one stage."""

    def __init__(self, path: Path, *, stage: str, artefact: str) -> None:
        self.path = path
        self.stage = stage
        self.artefact = path / artefact
        self.checkpoints = Checkpoints(path / "checkpoints")

    @contextmanager
    def open(
        self, settings: Settings, *, device: torch.device, overwrite: bool, inputs: Mapping[str, str] | None = None
    ) -> Iterator[RunFolder]:
        """Lock the folder for a run with these settings.

        Args:
            settings: all settings.
            device: where it runs; recorded.
            overwrite: start from scratch, replacing an existing run.
            inputs: hashes of what the run reads, by name, as the content of a path may have changed.

        Raises:
            EnvironmentFault: not writable, locked by another process, or not a run of this stage.
            UsageError: it holds a run with other settings or inputs; the error lists each difference.
        """
        self._refuse_others()
        finished = self.finished and not overwrite
        with locked(self.path, finished=finished):
            if overwrite:
                self._clear()
            if (self.path / CONFIG).exists():
                self._refuse_changes(settings, inputs or {})
            else:
                write_text(self.path / CONFIG, f'stage = "{self.stage}"\n{settings.to_toml()}')
            if not finished:
                self._remove_strays()
            if not finished and not (self.path / _ENVIRONMENT).exists():
                write_json(self.path / _ENVIRONMENT, {**machine.describe(device), "inputs": dict(inputs or {})})
            yield self

    @property
    def finished(self) -> bool:
        """Whether the artefact, which is written when the stage ends, exists and is not truncated."""
        return is_whole(self.artefact)

    def refuse_changes(self, settings: Settings) -> None:
        """Refuse the folder for a run with these settings, before it starts; errors as `open`."""
        self._refuse_others()
        if (self.path / CONFIG).exists():
            self._refuse_changes(settings, {})

    def _remove_strays(self) -> None:
        """Remove half-written files of a run that was killed: a picture or a snapshot may not be written again."""
        for folder in (self.path, self.path / "previews", self.path / "snapshots"):
            for path in folder.glob(f"*{TEMPORARY_SUFFIX}"):
                with suppress(OSError):
                    path.unlink()

    def _refuse_others(self) -> None:
        refuse_foreign(self.path, mark=CONFIG, holds="run")
        config = self.path / CONFIG
        if not config.exists():
            return
        try:
            found = read_toml(config).get("stage")
        except UsageError as error:
            raise EnvironmentFault(error.what, fix="Choose another folder with --out.") from None
        if not isinstance(found, str):
            raise EnvironmentFault(
                f"{config} is not of a run: it names no stage.", fix="Choose another folder with --out."
            )
        if found != self.stage:
            raise EnvironmentFault(
                f"{self.path} holds a run of '{found}', not of '{self.stage}'.", fix="Choose another folder with --out."
            )

    def _refuse_changes(self, settings: Settings, inputs: Mapping[str, str]) -> None:
        tree = type(settings).of_a_run(read_toml(self.path / CONFIG))
        before = build(type(settings), tree, origin=str(self.path / CONFIG))
        changes = before.difference(settings)
        read = read_object(self.path / _ENVIRONMENT) if (self.path / _ENVIRONMENT).exists() else {}
        recorded = read.get("inputs")
        for name, digest in inputs.items():
            known = str(recorded.get(name, digest)) if isinstance(recorded, dict) else digest
            if known != digest:
                changes.append(f"sha256 of the {name}: {known[:12]}... -> {digest[:12]}...")
        if changes:
            raise UsageError(
                f"{self.path} holds a run with other settings ({'; '.join(changes)}).",
                fix="Pass the same settings to resume, --overwrite to start from scratch, or another --out.",
            )

    def _clear(self) -> None:
        self._remove_evaluations()
        for name in _FOLDERS:
            if (self.path / name).is_dir():
                shutil.rmtree(self.path / name)
        # The settings go last: a folder without them would not be recognised as a run.
        for name in (self.artefact.name, SUMMARY, *_FILES, CONFIG):
            (self.path / name).unlink(missing_ok=True)

    def _remove_evaluations(self) -> None:
        """Remove the results of `copgen eval` of the artefact, which would be taken for those of the next one.

        Only these: results of other encoders, and all other files below `eval/`, may be the user's.
        """
        found = sorted((self.path / _EVALUATIONS).rglob(_RESULTS))
        digest = sha256_of(self.artefact) if found and self.artefact.is_file() else None
        for path in found:
            try:
                document = read_object(path)
            except DataError:
                continue  # not written by copgen
            encoder = document.get("encoder")
            of = encoder.get("sha256") if isinstance(encoder, dict) else None
            if digest is not None and of == digest and str(document.get("kind")).startswith("eval-"):
                path.unlink(missing_ok=True)


class Logged:
    """Events that also go to `log.txt` in the run folder (messages only)."""

    def __init__(self, events: Events, path: Path) -> None:
        self._events = events
        self._path = path
        self.begin, self.advance, self.end = events.begin, events.advance, events.end

    def _note(self, text: str) -> None:
        with disk_faults(self._path), open(self._path, "a", encoding="utf-8") as stream:
            stream.write(printable(text) + "\n")

    def say(self, text: str) -> None:
        self._note(text)
        self._events.say(text)

    def warn(self, text: str) -> None:
        self._note(f"warning: {text}")
        self._events.warn(text)
