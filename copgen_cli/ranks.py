"""`--nproc`: start the ranks of a training command on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from copgen.distributed.launch import launch
from copgen.runtime.environment import placement
from copgen.runtime.errors import UsageError
from copgen.runtime.panels import SPEED
from copgen.runtime.settings_files import piped
from copgen_cli import options as o

Nproc = Annotated[
    int | None, o.option("--nproc", help="Ranks to start on this machine.", value="N", panel=SPEED, parser=o.count)
]


def launches(nproc: int | None, run: o.FolderRun) -> bool:
    """Whether this process only starts the ranks."""
    return nproc is not None and nproc > 1 and not run.dry_run


def launch_ranks(nproc: int | None, run: o.FolderRun, context: typer.Context) -> None:
    """Start the ranks with the same command, wait for them, and exit as they do; return if there are none to start.

    Raises:
        UsageError: torchrun has started ranks already.
    """
    world = placement().world
    if nproc is not None and world > 1:
        raise UsageError(
            f"--nproc cannot be used under torchrun, which has started {world} ranks.", fix="Remove --nproc."
        )
    if nproc is not None and launches(nproc, run):
        with readable_by_all(run.config) as config:
            words = without_nproc(context.find_root().obj)
            raise SystemExit(launch("copgen_cli.main", [*words, *config], nproc))


@contextmanager
def readable_by_all(config: Path | None) -> Iterator[tuple[str, ...]]:
    """Arguments for the ranks that replace --config, if it is a pipe, by a file: several processes read it."""
    text = piped(config) if config is not None else None
    if text is None:
        yield ()
        return
    with tempfile.TemporaryDirectory(prefix="copgen-config-") as folder:
        copy = Path(folder) / "config.toml"
        copy.write_text(text, "utf-8")
        yield "--config", str(copy)  # the last one counts


def without_nproc(arguments: Sequence[str]) -> list[str]:
    """The arguments of the command without --nproc, for its ranks."""
    pairs = zip(("", *arguments), arguments, strict=False)
    return [word for before, word in pairs if "--nproc" not in (before, word) and not word.startswith("--nproc=")]
