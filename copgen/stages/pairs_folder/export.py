"""`copgen export`: convert a pairs folder to a format that other programs read.

Every shard is hashed before its pairs are exported, so no damaged data is passed on. `export.json` records the
progress: a shard is counted once its files are on disk, and an unfinished one is written again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from copgen.pairs import Contents
from copgen.pairs.documents import SHA256, Document
from copgen.pairs.exports import FORMS, TREES, Form, put_anchors, put_images, roles, valid_name
from copgen.pairs.genrep_folder import usual_roles
from copgen.pairs.scan import scan
from copgen.pairs.shard_reader import ShardReader
from copgen.pairs.verification import load_plan, problems, shard_problems
from copgen.runtime.errors import DataError, UsageError, unknown
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors
from copgen.runtime.signals import StopRequest
from copgen.stages.pairs_folder.interruptible import watcher
from copgen.storage.files import read_json
from copgen.storage.lock import locked, refuse_foreign

MARK = "export.json"


class Progress(Document):
    """The source, settings and progress of an export."""

    format: Literal[1] = 1
    to: Form
    plan: str = Field(pattern=SHA256, description="sha256 of the pairs' plan")
    classes: tuple[str, ...] = Field(description="names of the class folders")
    roles: tuple[str, ...] | None = Field(None, description="how a tree numbers positives; None: by an older version")
    shards: int = Field(ge=1, description="total number of shards")
    done: int = Field(ge=0, description="number of exported shards")


@path_errors()
def export(
    folder: Path, *, to: str, out: Path, class_names: Path | None = None, events: Events | None = None
) -> dict[str, Any]:
    """Write the pairs of `folder` into `out`; the same call resumes, and does nothing if the export is finished.

    Args:
        folder: a finished pairs folder.
        to: `folder`, `genrep`, `cop-gen` or `wds-single`.
        out: a new folder, or one of the same export.
        class_names: a file with the names of numbered classes, see `read_class_names`.
        events: receives progress and messages.

    Raises:
        DataError: a shard that fails verification, or a class that is not a valid folder name.
        UsageError: unknown format; other pairs or another format in `out`; more classes than names.
        EnvironmentFault: `out` is not an export, is not writable or in use, or the disk is full.
        Stopped: a signal arrived; the same call resumes.
    """
    events = events or Silent()
    if to not in FORMS:
        raise unknown("export format", to, FORMS)
    classes = read_class_names(class_names) if class_names is not None else ()
    plan = load_plan(folder)
    for problem in problems(folder, "quick"):
        raise problem.error
    if to in TREES and plan.image_format != "png":
        events.say(
            f"{plan.image_format} images are converted to PNG, the only format that the readers of this tree find."
        )
    begun = Progress.model_validate(
        {
            "to": to,
            "plan": plan.digest,
            "classes": classes,
            "roles": roles(to, plan),
            "shards": plan.shards,
            "done": 0,
        }
    )
    refuse_foreign(out, mark=MARK, holds="exported pairs")
    finished = (out / MARK).exists() and Progress.read(out / MARK).done == plan.shards
    with locked(out, finished=finished), StopRequest() as stop:
        progress = _going_on(out, begun, plan.positives)
        done = min(progress.done * plan.pairs_per_shard, plan.pairs)
        if 0 < done < plan.pairs:
            events.say(f"{done:,} of {plan.pairs:,} pairs are exported already; resuming.")
        events.begin("export", total=plan.pairs, unit="pairs", done=done)
        watch = watcher(events, stop)
        try:
            for number in range(progress.done, plan.shards):
                for problem in shard_problems(folder, plan, number, "full"):
                    raise problem.error
                with ShardReader(folder, plan, number, scan(folder, plan, number)) as shard:
                    if to == "wds-single":
                        put_anchors(out, plan, number, shard, watch)
                    else:
                        _put_shard(out, to, plan, classes, number, shard, watch)
                progress = progress.model_copy(update={"done": number + 1})
                progress.write(out / MARK)
                events.advance(plan.shard_range(number).stop, {})
        finally:
            events.end()
    images = plan.pairs * (1 if to == "wds-single" else 1 + plan.positives)
    return {"to": to, "pairs": plan.pairs, "images": images, "already_finished": done == plan.pairs}


def read_class_names(path: Path) -> tuple[str, ...]:
    """Names of classes 0, 1, ...: one per line, or ImageNet's JSON index: {"0": ["n01440764", "tench"], ...}.

    Raises:
        UsageError: the file cannot be read, has another format, or has a name twice.
        DataError: a name that is not a valid folder name.
    """
    fix = 'Write one name per line, or JSON such as {"0": ["n01440764", "tench"], ...} without gaps.'
    try:
        if path.suffix == ".json":
            value = read_json(path)
            found = [value[str(number)] for number in range(len(value))]
            names = [entry[0] if isinstance(entry, list) else entry for entry in found]
        else:
            names = [line.strip() for line in path.read_text("utf-8-sig").rstrip().splitlines()]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", fix=fix) from None
    except (DataError, LookupError, TypeError, ValueError):
        raise UsageError(f"{path} does not list class names.", fix=fix) from None
    numbers: dict[str, int] = {}
    for number, name in enumerate(names):
        if not valid_name(name):
            raise DataError(f"{path}: class {number} is {name!r}, which is not a valid folder name.", fix=fix)
        if (first := numbers.setdefault(name, number)) != number:
            raise UsageError(
                f"{path} calls both class {first} and class {number} '{name}': their images would share a folder.",
                fix="Give each class a different name, such as ImageNet's wnids.",
            )
    return tuple(names)


def _going_on(out: Path, begun: Progress, positives: int) -> Progress:
    """The progress of an earlier call, or None."""
    path = out / MARK
    if not path.exists():
        begun.write(path)
        return begun
    there = Progress.read(path)
    if there.roles is None:
        there = there.model_copy(update={"roles": usual_roles(positives) if there.to in TREES else ()})
    for field, value in begun.model_dump(exclude={"done", "format"}).items():
        if (found := getattr(there, field)) != value:
            shown = (json.dumps(found)[:70], json.dumps(value)[:70])
            raise UsageError(
                f"{out} holds another export: its {field} is {shown[0]}, not {shown[1]}.",
                fix="Choose another folder with --out.",
            )
    return there


def _put_shard(
    out: Path,
    to: str,
    plan: Contents,
    classes: tuple[str, ...],
    number: int,
    shard: ShardReader,
    watch: Callable[[int], None],
) -> None:
    for index in plan.shard_range(number):
        watch(index)
        put_images(out, to, plan, classes, index, shard)
    os.sync()  # one call for thousands of files, before the shard is counted
