"""One run of a training stage: its device and ranks, its folder, its summary and its artefact.

    with started(settings, out, stage="pretrain", artefact="encoder.safetensors", device=..., ...) as run:
        ...                                              # validate inputs here
        with Training(run, state=..., ...) as training:  # opens, locks and resumes the folder
            for update in training:
                ...
        return run.finish(summarise, save)

Nothing in the folder is touched before Training opens it, and an error on one rank is raised on all ranks. If the run
is finished, Training has no updates left, and `finish` returns the stored summary. Only rank 0 writes and logs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from copgen.distributed.ranks import Ranks, joined
from copgen.runtime.errors import DataError
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import resolve_device
from copgen.runtime.path_errors import path_errors
from copgen.runtime.settings import Settings
from copgen.runtime.urls import refuse_url
from copgen.storage.files import read_object, write_json
from copgen.training import out_of_memory
from copgen.training.deterministic import deterministic_kernels
from copgen.training.metrics import FILE_NAME as METRICS
from copgen.training.metrics import read_metrics
from copgen.training.run_folder import SUMMARY, Logged, RunFolder

Summary = dict[str, Any]


@dataclass(kw_only=True, eq=False)
class Run:
    """A run, made by `started`.

    Attributes:
        settings: all settings.
        folder: the run folder.
        device: of this process.
        ranks: the processes that share a batch.
        overwrite: start from scratch over an existing run.
        listener: what `events` passes everything on to, on rank 0.
        prepared: ends the block in which an error on one rank is raised on all.
        held: what is released when the run ends: the lock of the folder.
        rehearsal: whether it only measures a few updates of a run, for an estimate.
        events: receives progress and messages; on rank 0 only, and messages only once the folder is open.
        finished: whether the folder holds the artefact; valid once it is open.
    """

    settings: Settings
    folder: RunFolder
    device: torch.device
    ranks: Ranks
    overwrite: bool
    listener: Events
    prepared: Callable[[], None]
    held: ExitStack
    rehearsal: bool = False
    events: Events = field(default_factory=Silent, init=False)
    finished: bool = field(default=False, init=False)

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    def open(self, *, inputs: Mapping[str, str] | None = None, note: str | None = None, warning: str = "") -> None:
        """Lock the folder and check whether the run is finished; errors as `RunFolder.open`, on all ranks.

        Args:
            inputs: hashes of what the run reads, by name.
            note: the first message, if the run is not finished.
            warning: likewise; may be empty.
        """
        self.prepared()
        with self.ranks.together():
            if self.ranks.first:
                self.held.enter_context(
                    self.folder.open(self.settings, device=self.device, overwrite=self.overwrite, inputs=inputs)
                )
        self.finished = self.ranks.any(self.folder.finished)
        if self.ranks.first:
            self.events = Logged(self.listener, self.path / "log.txt")
            if self.folder.artefact.exists() and not self.finished:
                self.events.warn(f"{self.folder.artefact} is truncated or corrupt; it is written again.")
        if note and not self.finished:
            self.events.say(note)
        if warning and not self.finished:
            self.events.warn(warning)

    def logged(self, name: str, *, updates: int) -> list[float]:
        """A metric of every update of a finished run, in order.

        Args:
            name: of the metric.
            updates: of the whole run.

        Raises:
            DataError: the file lacks the last of them, as it was damaged.
        """
        lines = [line for line in read_metrics(self.path / METRICS) if name in line]
        if not lines or lines[-1]["update"] != updates:
            raise DataError(
                f"{self.path / METRICS} lacks the {name} of update {updates:,}, so the run cannot be summarised.",
                fix="It is damaged: pass --overwrite to start from scratch.",
            )
        return [line[name] for line in lines]

    def made_by(self, **more: Any) -> dict[str, Any]:
        """The provenance in the header of an artefact: the stage, the settings, and `more`."""
        return {"stage": self.folder.stage, "settings": self.settings.tree(), **more}

    def finish(self, summarise: Callable[[], Summary], save: Callable[[Path, Summary], object]) -> Summary:
        """Write the summary, then the artefact; if the run was finished before, only read the summary.

        Args:
            summarise: returns the summary; called on all ranks.
            save: writes the artefact to this path, after any other files; called on rank 0.
        """
        if self.finished:
            return dict(self.ranks.broadcast(read_object(self.path / SUMMARY) if self.ranks.first else None))
        summary = summarise()
        with self.ranks.together():
            if self.ranks.first:
                write_json(self.path / SUMMARY, summary)
                save(self.folder.artefact, summary)
        return summary


@contextmanager
def started(
    settings: Settings,
    out: Path | str,
    *,
    stage: str,
    artefact: str,
    device: str,
    deterministic: bool = False,
    overwrite: bool = False,
    events: Events | None = None,
    ranks: Ranks | None = None,
    rehearsal: bool = False,
) -> Iterator[Run]:
    """A run of a stage in the folder `out`, which is locked until the block ends.

    Args:
        settings: all settings.
        out: the run folder.
        stage: its name, recorded in the folder.
        artefact: the file that a finished run has.
        device: auto, cpu, cuda or cuda:N.
        deterministic: allow CUDA only kernels that give the same bits in every run.
        overwrite: start from scratch, replacing an existing run.
        events: receives progress and messages; on rank 0.
        ranks: the processes that share a batch; None: those in the environment (torchrun, --nproc).
        rehearsal: as in `Run`; see `rehearse_training`.

    Raises:
        UsageError, EnvironmentFault: `out` is a URL; no such device; another rank was lost; out of memory.
    """
    refuse_url(out, writing=True)
    here = resolve_device(device)
    with joined(here) if ranks is None else nullcontext((ranks, here)) as (all_ranks, own), ExitStack() as held:
        held.enter_context(path_errors())
        if deterministic:
            held.enter_context(deterministic_kernels(own))
        preparing = held.enter_context(ExitStack())
        preparing.enter_context(all_ranks.together())
        preparing.enter_context(out_of_memory.reported(own))
        yield Run(
            settings=settings,
            folder=RunFolder(Path(out), stage=stage, artefact=artefact),
            device=own,
            ranks=all_ranks,
            overwrite=overwrite,
            listener=events or Silent(),
            prepared=preparing.close,
            held=held,
            rehearsal=rehearsal,
        )
