"""Metrics in TensorBoard or trackio too, beside `metrics.jsonl`, which is always written.

`tensorboard` writes event files into the run folder; `trackio` its local database, under the name of the run folder.
Metrics that were logged after the checkpoint from which a run resumes are logged again, under the same update.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Literal, Protocol

from copgen.runtime.declaration import Flag, setting
from copgen.runtime.errors import EnvironmentFault
from copgen.runtime.panels import OUTPUT
from copgen.runtime.path_errors import path_error

TrackerName = Literal["tensorboard", "trackio"]
PROJECT = "copgen"
CLOSING_S = 1.0  # for TensorBoard's thread to end after an error


def tracking_setting() -> Any:
    """Declares `track`."""
    text, source = "Log to tensorboard or trackio too.", "metrics.jsonl is always written"
    return setting(None, text=text, source=source, flag=Flag(OUTPUT, "NAME"))


class Tracker(Protocol):
    """Where metrics go besides the run folder's file."""

    def log(self, update: int, metrics: Mapping[str, float]) -> None:
        """The metrics of an update, from 1."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Event files in RUN/tensorboard; open them with `tensorboard --logdir RUN`.

    Raises:
        EnvironmentFault: the package is missing, or the folder cannot be written, also from `log` and `close`.
    """

    def __init__(self, run: Path, settings: Mapping[str, Any], *, done: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise missing("tensorboard", error) from None
        # TensorBoard hides what was logged from this update on, before the run was resumed.
        self._folder = run / "tensorboard"
        self._hook, others = threading.excepthook, {*threading.enumerate()}
        with self._written():
            self._writer: Any = SummaryWriter(str(self._folder), purge_step=done + 1)
            self._threads = {*threading.enumerate()} - others
            threading.excepthook = self._of_thread
            self._writer.add_text("settings", "\n".join(f"    {name} = {value}" for name, value in settings.items()))

    def log(self, update: int, metrics: Mapping[str, float]) -> None:
        """One scalar for each metric."""
        with self._written():
            for name, value in metrics.items():
                self._writer.add_scalar(name, value, update)

    def close(self) -> None:
        """Flush the event file."""
        try:
            with self._written():
                self._writer.close()
        finally:
            for thread in self._threads:
                thread.join(CLOSING_S)
            threading.excepthook = self._hook

    def _of_thread(self, ended: threading.ExceptHookArgs) -> None:
        """TensorBoard's thread hands its error to the next call; without this it prints a traceback as well."""
        if not isinstance(ended.exc_value, OSError):
            self._hook(ended)

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise path_error(error, self._folder, access="written") from error


class Trackio:
    """A run of the local project 'copgen'; see it with `trackio show --project copgen`.

    Raises:
        EnvironmentFault: the package is missing.
    """

    def __init__(self, run: Path, settings: Mapping[str, Any], *, done: int) -> None:
        with _on_stderr():
            try:
                import trackio  # type: ignore[import-not-found,unused-ignore]
            except ImportError as error:
                raise missing("trackio", error) from None
            config = {name: str(value) for name, value in settings.items()}
            resume = "allow" if done else "never"
            self._run: Any = trackio.init(PROJECT, name=str(run), config=config, resume=resume, embed=False)

    def log(self, update: int, metrics: Mapping[str, float]) -> None:
        """All metrics of the update at once."""
        self._run.log(dict(metrics), step=update)

    def close(self) -> None:
        """Wait until everything is in the database."""
        with _on_stderr():
            self._run.finish()


def open_tracker(name: TrackerName, run: Path, settings: Mapping[str, Any], *, done: int) -> Tracker:
    """A tracker of a run folder that has `done` updates already; errors as its class."""
    kinds: Mapping[str, Any] = {"tensorboard": TensorBoard, "trackio": Trackio}
    tracker: Tracker = kinds[name](run, settings, done=done)
    return tracker


def missing(package: str, error: ImportError) -> EnvironmentFault:
    """The error for a package that cannot be imported."""
    fix = f"Install it: pip install 'copgen[{package}]'."
    return EnvironmentFault(f"{package} cannot be imported: {error}.", fix=fix)


@contextmanager
def _on_stderr() -> Iterator[None]:
    """trackio prints; stdout is for the command's answer."""
    with redirect_stdout(sys.stderr):
        yield


def numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics, except that of the update."""
    return {name: value for name, value in line.items() if name != "update" and isinstance(value, (int, float))}
