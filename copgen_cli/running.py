"""How a command runs a training stage: log, dry run, result and the next command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from copgen_cli.console import Shown
from copgen_cli.dry_run import show_plan
from copgen_cli.options import FolderRun
from copgen_cli.story import Story
from copgen_cli.watching import watched
from copgen_cli.wording import number_of

if TYPE_CHECKING:
    from copgen.runtime.settings import Settings

FINISHED = "{} is already finished. Pass --overwrite to start from scratch."
SettingsT = TypeVar("SettingsT", bound="Settings", contravariant=True)


class Stage(Protocol[SettingsT]):
    """A training stage: writes its run folder and returns its summary."""

    def __call__(self, settings: SettingsT, /, *, out: Path, overwrite: bool, events: Any) -> dict[str, Any]: ...


def train(
    stage: Stage[SettingsT],
    settings: SettingsT,
    run: FolderRun,
    story: Story,
    *,
    artefact: Path,
    kind: str,
    about: str,
    estimate: Callable[[], Mapping[str, Any]],
    rows: Callable[[dict[str, Any]], Sequence[Shown]],
    then: Sequence[str],
    follows: bool = False,
    port: int | None = None,
) -> None:
    """Run a training stage, or print its settings and estimate, and report the result.

    Args:
        stage, settings, run, story: as the command has them.
        artefact: the file that the stage writes into its run folder.
        kind: its key in the result.
        about: length and input of the run, for the log.
        estimate: time, memory and disk, for `--dry-run`.
        rows: rows of the summary, after the artefact.
        then: the next command.
        follows: this is not rank 0, and prints nothing.
        port: serve the page of the run there meanwhile; 0: any port; None: do not.
    """
    out = artefact.parent
    with story:
        story.say(f"{about}, into {out}.")
        story.explain(settings.to_toml())
        if run.dry_run:
            if not follows:
                show_plan(settings, estimate(), as_json=run.as_json)
            return
        already = artefact.exists() and not run.overwrite
        with watched(out, story, port=None if follows else port):
            summary = stage(settings, out=out, overwrite=run.overwrite, events=story)
        if follows:
            return
        if already:
            story.say(FINISHED.format(out))
    document = {kind: str(artefact), "already_finished": already, **summary}
    run.answer(document, [(kind, str(artefact)), *rows(summary)], *then)


def length(samples: int, batch: int) -> str:
    """The length of a run in samples and updates: '20,000 samples = 156 updates of 128'."""
    return f"{samples:,} samples = {number_of(samples // batch, 'update')} of {batch:,}"
