"""A run folder as it is now, which may be while it is being written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copgen.report.comparison import Result, read_results
from copgen.report.comparison.reading import NAME as RESULTS
from copgen.report.page.log import Log, read_log
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.settings_files import read_toml
from copgen.storage.files import read_object
from copgen.storage.lock import LOCK, is_held
from copgen.training.metrics import FILE_NAME as METRICS
from copgen.training.run_folder import CONFIG, SUMMARY

NAVIGATE, STEERING, PRETRAIN = "navigate", "navigate steering", "pretrain"
FINAL, BASELINES, STEP = "final.png", "baselines.png", "samples-"
MADE = "Pass a run folder that copgen navigate or copgen pretrain wrote, results of copgen eval, or a folder of them."


@dataclass(frozen=True)
class Record:
    """What a run folder holds; tables are empty where a file is missing or damaged.

    Attributes:
        path: the folder.
        stage: of the run: navigate, pretrain, ...
        config: its settings.
        environment, summary, displacement: its documents.
        log: its metrics.
        messages: the lines of its log.
        running: a process is writing it; None if that cannot be known here.
        problems: what is damaged, one sentence each.
    """

    path: Path
    stage: str
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    summary: Mapping[str, Any]
    displacement: Mapping[str, Any]
    log: Log
    messages: tuple[str, ...]
    running: bool | None
    problems: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether the run wrote its summary, which is almost the last thing it does."""
        return bool(self.summary)

    def preview(self, name: str) -> Path | None:
        """The preview with this name, if it is there."""
        path = self.path / "previews" / name
        return path if path.is_file() else None

    def steps(self) -> list[tuple[int, Path]]:
        """(samples drawn, preview), in order."""
        found = []
        for path in (self.path / "previews").glob(f"{STEP}*.png"):
            digits = path.stem.removeprefix(STEP)
            if digits.isascii() and digits.isdigit():
                found.append((int(digits), path))
        return sorted(found)


def find(paths: Iterable[Path]) -> tuple[list[Record], list[Result]]:
    """The runs, and the results of evaluations, in folders or below them; each once.

    Raises:
        DataError: a path that holds neither, or a damaged file without which a run or result cannot be told.
        EnvironmentFault: a file that is not readable.
    """
    folders: dict[Path, Path] = {}
    files: dict[Path, Path] = {}
    for path in paths:
        results = [path] if path.is_file() else sorted(path.rglob(RESULTS))
        there = [] if path.is_file() else sorted(path.rglob(CONFIG))
        runs = [file.parent for file in there if file.parent == path or _is_run(file)]
        if not results and not runs:
            raise DataError(f"There is no run and no {RESULTS} in {path}.", fix=MADE)
        for run in runs:
            folders.setdefault(run.resolve(), run)
        for file in results:
            files.setdefault(file.resolve(), file)
    return [read_record(folder) for folder in folders.values()], read_results(files.values())


def read_record(folder: Path) -> Record:
    """The run in a folder.

    Raises:
        DataError: it holds none, or its settings are damaged.
        EnvironmentFault: a file that is not readable.
    """
    config = _settings(folder / CONFIG)
    if not isinstance(config.get("stage"), str):
        raise DataError(f"{folder / CONFIG} is not of a run: it names no stage.", fix=MADE)
    problems: list[str] = []
    log = read_log(folder / METRICS)
    if log.damaged:
        problems.append(f"{log.damaged:,} of {log.lines + log.damaged:,} lines of {METRICS} are damaged and left out.")
    running, summary = is_held(folder), _document(folder / SUMMARY, problems)
    if running is None and not summary:
        problems.append(
            f"{LOCK} was written on another machine or in another container: whether the run is active is unknown."
        )
    return Record(
        path=folder,
        stage=config["stage"],
        config={name: value for name, value in config.items() if name != "stage"},
        environment=_document(folder / "environment.json", problems),
        summary=summary,
        displacement=_document(folder / "displacement.json", problems),
        log=log,
        messages=_messages(folder / "log.txt"),
        running=running,
        problems=tuple(problems),
    )


def _is_run(config: Path) -> bool:
    return isinstance(_settings(config).get("stage"), str)


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"There is no run in {path.parent} ({CONFIG} is missing).", fix=MADE)
    try:
        return read_toml(path)
    except UsageError as error:
        raise DataError(error.what, fix=error.fix or "Run the command that made it again, with --overwrite.") from None


def _document(path: Path, problems: list[str]) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return read_object(path)
    except DataError as error:
        problems.append(error.what)
        return {}


def _messages(path: Path) -> tuple[str, ...]:
    return tuple(path.read_text("utf-8", errors="replace").splitlines()) if path.is_file() else ()
