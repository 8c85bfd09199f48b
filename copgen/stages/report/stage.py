"""`copgen report`: run folders as one self-contained page, with its figures as pictures beside it.

    report.html            the page
    NAME-evolution.png     anchors and their positives over the training; .gif: its animation
    NAME-losses.png, ...   the charts

NAME is that of the run folder; with several of one name, numbered.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from copgen.report.page import Page, Record, find, page_of
from copgen.report.page.document import MADE_BY
from copgen.report.page.plate import film, plate
from copgen.report.page.raster import picture
from copgen.runtime.errors import EnvironmentFault, UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors
from copgen.stages.report.settings import ReportSettings
from copgen.storage.files import write_bytes

FILE = "report.html"
MOST_BYTES = 20 * 10**6
ROWS = 8  # anchors in the picture


@path_errors()
def write_report(
    settings: ReportSettings, *, out: Path | str, overwrite: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """Write the page and its pictures into the folder `out`; returns their names and what the page shows.

    Args:
        settings: the runs.
        out: the folder.
        overwrite: ignored, as an existing report is always replaced; every stage has it.
        events: receives what is damaged in the runs.

    Raises:
        DataError: a path without a run or results, or a damaged file without which neither can be told.
        UsageError: `out` has a report.html that is not a report, or the page would exceed 20 MB.
        EnvironmentFault: `out` is a file, or there is one that is not readable or writable.
    """
    told = events or Silent()
    file = Path(out) / FILE
    if Path(out).is_file():
        raise EnvironmentFault(f"{out} is a file, not a folder.", fix="Choose another folder with --out.")
    refuse_other(file)
    records, results = find(settings.runs)
    for problem in (problem for record in records for problem in record.problems):
        told.warn(problem)
    page = page_of(records, results)
    content = page.html.encode("utf-8")
    check_size(content)
    pictures = [name for name, data in pictures_of(page, records) if _written(Path(out) / name, data)]
    write_bytes(file, content)
    return {
        "report": str(file),
        "bytes": len(content),
        "runs": [
            {
                "run": str(record.path),
                "stage": record.stage,
                "finished": record.finished,
                "lines": record.log.lines,
                "damaged_lines": record.log.damaged,
            }
            for record in records
        ],
        "results": [str(result.path) for result in results],
        "pictures": pictures,
    }


def refuse_other(file: Path) -> None:
    """Refuse to replace a file that is not a report of copgen."""
    if file.is_file():
        with file.open("rb") as stream:
            ours = f'content="{MADE_BY}"'.encode() in stream.read(4096)
        if not ours:
            raise UsageError(f"{file} exists, and was not written by {MADE_BY}.", fix="Choose another --out.")


def check_size(content: bytes) -> None:
    """Refuse a page that is too large to be sent around."""
    if len(content) > MOST_BYTES:
        raise UsageError(
            f"The page would have {len(content) / 1e6:.0f} MB, more than {MOST_BYTES / 1e6:.0f}.",
            fix="Pass fewer runs at once.",
        )


def pictures_of(page: Page, records: Sequence[Record]) -> Iterator[tuple[str, bytes]]:
    """The pictures by file name."""
    names = names_of(records)
    for number, evolution in page.evolutions.items():
        yield f"{names[number]}-evolution.png", _png(plate(evolution, rows=ROWS))
        if len(evolution.frames) > 1:
            first, others, times = film(evolution)
            buffer = io.BytesIO()
            first.save(buffer, "GIF", save_all=True, append_images=others, duration=times, loop=0)
            yield f"{names[number]}-evolution.gif", buffer.getvalue()
    for (number, name), drawing in page.drawings.items():
        yield f"{names[number]}-{name}.png", _png(picture(drawing))


def names_of(records: Sequence[Record]) -> list[str]:
    """A name for the files of each run: that of its folder in plain characters, numbered where others have it too."""
    plain = [
        re.sub(r"[^A-Za-z0-9_.-]+", "_", record.path.resolve().name)[:80].lstrip(".") or "run" for record in records
    ]
    return [name if plain.count(name) == 1 else f"{name}-{plain[:k].count(name) + 1}" for k, name in enumerate(plain)]


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _written(path: Path, data: bytes) -> bool:
    write_bytes(path, data)
    return True
