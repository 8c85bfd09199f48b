"""The page of a run that is being written, rendered when somebody asks for it, but not too often."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from copgen.report.comparison import read_results
from copgen.report.comparison.reading import NAME as RESULTS
from copgen.report.page.document import page_of, waiting_page
from copgen.report.page.record import read_record
from copgen.runtime.errors import CopgenError
from copgen.training.metrics import FILE_NAME as METRICS
from copgen.training.run_folder import CONFIG, SUMMARY

LEAST_S = 3.0  # between two renderings
SHARE = 20.0  # a rendering may take one part in so many of the time, as it shares Python's lock with the training
WATCHED = (CONFIG, METRICS, SUMMARY, "displacement.json", "log.txt", "previews", "eval")


class Rendering:
    """The latest page of a run folder; for any number of threads.

    Args:
        folder: the run, which may not have begun.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._page = b""
        self._of: object = None
        self._next = 0.0

    def state(self) -> object:
        """A value that changes when the folder does."""
        return tuple(_state(self.folder / name) for name in WATCHED)

    def page(self, *, now: bool = False) -> bytes:
        """The page: the last one, if the folder has not changed, or if it was rendered a moment ago.

        Args:
            now: render it anyway if the folder has changed, as at the end of the run.
        """
        with self._lock:
            state = self.state()
            if not self._page or (state != self._of and (now or time.monotonic() >= self._next)):
                began = time.monotonic()
                self._page, self._of = self._rendered(), state
                took = time.monotonic() - began
                self._next = began + max(LEAST_S, SHARE * took)
            return self._page

    @property
    def wait(self) -> float:
        """Seconds until the page may be rendered again."""
        return max(0.0, self._next - time.monotonic())

    def _rendered(self) -> bytes:
        try:
            if not (self.folder / CONFIG).is_file():
                return waiting_page(f"The run in {self.folder} has not begun yet.").encode()
            record = read_record(self.folder)
            results = read_results(sorted(self.folder.rglob(RESULTS)))
            return page_of([record], results, live=True).html.encode()
        except (CopgenError, OSError) as error:
            return waiting_page(f"The run in {self.folder} cannot be read at the moment: {error}").encode()


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
