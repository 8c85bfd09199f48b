"""How a command runs a stage that trains: what is said before, the dry run, the answer, and what to type next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from copgen_cli.console import Row, answer
from copgen_cli.dry_run import show_plan
from copgen_cli.options import FolderRun
from copgen_cli.story import Story

if TYPE_CHECKING:
    from copgen.runtime.settings import Settings

SettingsT = TypeVar("SettingsT", bound="Settings", contravariant=True)


class Stage(Protocol[SettingsT]):
    """A stage: trains, writes its run folder, returns its summary."""

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
    rows: Callable[[dict[str, Any]], Sequence[Row]],
    then: Sequence[str],
    follows: bool = False,
) -> None:
    """Run a stage, or show what it would take, and tell it.

    Args:
        stage, settings, run, story: as the command has them.
        artefact: the file that the stage writes into its run folder.
        kind: what that is, in the answer.
        about: the length of the run and what it works on, for the story.
        estimate: time, memory and disk, for `--dry-run`.
        rows: what to know of the summary, beside the artefact.
        then: the next command.
        follows: this is a rank after the first, which tells nothing.
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
        summary = stage(settings, out=out, overwrite=run.overwrite, events=story)
        if follows:
            return
        if already:
            story.say(f"{out} is already finished; --overwrite starts from scratch.")
        document = {kind: str(artefact), "already_finished": already, **summary}
        answer(document, [(kind, str(artefact)), *rows(summary)], as_json=run.as_json)
        story.next(*then)


def length(samples: int, batch: int) -> str:
    """The length of a run in both units: '20,000 samples = 156 updates of 128'."""
    updates = samples // batch
    return f"{samples:,} samples = {updates:,} {'update' if updates == 1 else 'updates'} of {batch:,}"
