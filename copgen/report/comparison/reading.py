"""Finds and reads `results.json` files: of a file, of a folder, or of all folders below one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copgen.runtime.errors import DataError
from copgen.storage.files import read_object

NAME = "results.json"
FORMAT = 1  # the newest that is known
START = "eval-"
WRITTEN = "Pass a results.json that copgen eval wrote, or a folder that has one."


@dataclass(frozen=True)
class Result:
    """One evaluation.

    Attributes:
        path: its file.
        document: the content.
    """

    path: Path
    document: Mapping[str, Any]

    @property
    def evaluation(self) -> str:
        """'linear', 'knn', ...: the name of its command."""
        return str(self.document["kind"]).removeprefix(START)

    def table(self, *names: str) -> Mapping[str, Any]:
        """A table below the document; empty if there is none."""
        found: Any = self.document
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}


def find_results(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The files of results in files, in folders, or below folders, each once; and the folders that have none.

    Raises:
        DataError: folders were given and none has a file, or a path that does not exist.
    """
    files: dict[Path, Path] = {}
    without: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"There is no file or folder {path}.", fix="Check the path.")
        found = [path] if path.is_file() else sorted(path.rglob(NAME))
        for file in found:
            files.setdefault(file.resolve(), file)
        if not found:
            without.append(path)
    if without and not files:
        raise DataError(
            f"There is no {NAME} in {', '.join(map(str, without))}.",
            fix="Pass a folder of results, a run that was evaluated, or a folder of runs; copgen eval writes them.",
        )
    return list(files.values()), without


def read_results(paths: Iterable[Path]) -> list[Result]:
    """All results in files, in folders, or below folders, such as those of runs; each file once.

    Raises:
        DataError: no results, or a file that is not one of `copgen eval`, or of a newer format.
    """
    return [_read(file) for file in find_results(paths)[0]]


def _read(file: Path) -> Result:
    try:
        document = read_object(file)
    except DataError as error:
        raise DataError(error.what, fix=error.fix or WRITTEN) from None
    kind, number = document.get("kind"), document.get("format")
    if not (isinstance(kind, str) and kind.startswith(START) and isinstance(number, int)):
        raise DataError(f"{file} is not a result of copgen eval: it has no kind and format of one.", fix=WRITTEN)
    if number > FORMAT:
        raise DataError(f"{file} has format {number}; this copgen reads up to {FORMAT}.", fix="Update copgen.")
    return Result(file, document)
