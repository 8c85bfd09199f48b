"""One run of a training stage: its device and ranks, its folder, its summary and its artefact.

    with started(settings, out, stage="pretrain", artefact="encoder.safetensors", device=..., ...) as run:
        ...                                              # whatever can be refused is refused here
        with Training(run, state=..., ...) as training:  # opens, locks and resumes the folder
            for update in training:
                ...
        return run.finish(summarise, save)

Until Training opens the folder nothing in it is touched, and what one rank refuses all ranks refuse. Of a run that is
finished Training has no update left, and `finish` returns the summary that was stored. Rank 0 alone writes and logs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from copgen.distributed.ranks import Ranks, joined
from copgen.runtime.events import Events, Silent
from copgen.runtime.machine import resolve_device
from copgen.runtime.settings import Settings
from copgen.storage.files import read_json, write_json
from copgen.training.metrics import FILE_NAME as METRICS
from copgen.training.metrics import read_metrics
from copgen.training.run_folder import SUMMARY, Logged, RunFolder

Summary = dict[str, Any]


class Run:
    """A run, made by `started`.

    Attributes:
        settings: all of them.
        folder: where it is written.
        device: where this process computes.
        ranks: the processes that share a batch.
        events: hears of progress and sentences; on rank 0 alone, and of sentences once the folder is open.
        finished: whether the folder holds the artefact; known once it is open.
    """

    def __init__(
        self,
        settings: Settings,
        folder: RunFolder,
        *,
        device: torch.device,
        ranks: Ranks,
        overwrite: bool,
        events: Events,
        prepared: Callable[[], None],
        held: ExitStack,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.device = device
        self.ranks = ranks
        self.finished = False
        self.events: Events = Silent()
        self._events = events
        self._overwrite = overwrite
        self._prepared = prepared
        self._held = held

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    def open(self, *, inputs: Mapping[str, str] | None = None, note: str | None = None) -> None:
        """Lock the folder and find out whether it is finished; errors as `RunFolder.open`, on all ranks.

        Args:
            inputs: what the run reads, by name and hash.
            note: a sentence to begin with, where there is something left to do.
        """
        self._prepared()
        with self.ranks.together():
            if self.ranks.first:
                self._held.enter_context(
                    self.folder.open(self.settings, device=self.device, overwrite=self._overwrite, inputs=inputs)
                )
        self.finished = self.ranks.any(self.folder.finished)
        if self.ranks.first:
            self.events = Logged(self._events, self.path / "log.txt")
            if self.folder.artefact.exists() and not self.finished:
                self.events.warn(f"{self.folder.artefact} is truncated or corrupt; it is written again.")
        if note and not self.finished:
            self.events.say(note)

    def logged(self, name: str) -> list[float]:
        """A metric of every update so far, in order; of rank 0."""
        return [line[name] for line in read_metrics(self.path / METRICS)]

    def made_by(self, **more: Any) -> dict[str, Any]:
        """What an artefact says of its origin: the stage, the settings, and `more`."""
        return {"stage": self.folder.stage, "settings": self.settings.tree(), **more}

    def finish(self, summarise: Callable[[], Summary], save: Callable[[Path, Summary], object]) -> Summary:
        """Write the summary, then the artefact; of a run that was finished before, read the summary and do no more.

        Args:
            summarise: what the run came to; called on all ranks.
            save: writes the artefact to this path, and whatever belongs beside it before that; called on rank 0.
        """
        if self.finished:
            return dict(self.ranks.broadcast(read_json(self.path / SUMMARY) if self.ranks.first else None))
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
    overwrite: bool = False,
    events: Events | None = None,
    ranks: Ranks | None = None,
) -> Iterator[Run]:
    """A run of a stage in the folder `out`, which is held until the block ends.

    Args:
        settings: all of them.
        out: the run folder.
        stage: its name, as the folder records it.
        artefact: the file that a finished run has.
        device: auto, cpu, cuda or cuda:N.
        overwrite: start from scratch over a run that is there.
        events: hears of progress; on rank 0.
        ranks: the processes that share a batch; None joins those that the environment tells of (torchrun, --nproc).

    Raises:
        UsageError, EnvironmentFault: no such device; another rank was lost.
    """
    here = resolve_device(device)
    with joined(here) if ranks is None else nullcontext((ranks, here)) as (all_ranks, own), ExitStack() as held:
        preparing = held.enter_context(ExitStack())
        preparing.enter_context(all_ranks.together())
        yield Run(
            settings,
            RunFolder(Path(out), stage=stage, artefact=artefact),
            device=own,
            ranks=all_ranks,
            overwrite=overwrite,
            events=events or Silent(),
            prepared=preparing.close,
            held=held,
        )
