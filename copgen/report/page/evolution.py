"""Anchors and their positives over the training (the paper's Figures 4 and 5): rows are anchors, columns are steps.

All images are those that the run rendered for its previews, so that no generator is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from copgen.latents.genrep import prior_std_of
from copgen.report.page.cells import COUNT, mosaic, read_sheet, same
from copgen.report.page.html import code, data_uri, escaped, missing, tag
from copgen.report.page.record import BASELINES, FINAL, STEERING, Record
from copgen.report.page.values import number
from copgen.runtime.counts import format_count
from copgen.runtime.errors import DataError

STEPS, FRAMES, SHOWN = 9, 24, 8  # columns of steps; frames of the animation; rows that are shown at once
GENREP = "GenRep"


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the figure.

    Attributes:
        head: above it; what it shows.
        note: below that, smaller; may be empty.
        group: anchor, steps, kept or other: there is a gap between groups.
        images: one for each anchor.
    """

    head: str
    note: str
    group: str
    images: list[Image.Image]


@dataclass
class Evolution:
    """The figure's columns, and the frames of its animation.

    Attributes:
        columns: the anchors, steps, the kept navigator, other transforms; empty without previews.
        frames: (samples, positives), more of the steps.
        problems: previews that could not be read, one sentence each.
    """

    columns: list[Column] = field(default_factory=list)
    frames: list[tuple[int, list[Image.Image]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def evolution_of(record: Record, others: Sequence[Record] = ()) -> Evolution:
    """Read the previews of a navigate run.

    Args:
        record: the run.
        others: runs of the report; a steering walk with the same anchors gives a column.
    """
    found = Evolution()
    steps = record.steps()
    shown = {steps[k][0] for k in spread(len(steps), STEPS)}
    in_film = {steps[k][0] for k in spread(len(steps), FRAMES)}
    anchors: list[Image.Image] = []
    middle: dict[int | None, Column] = {}
    for samples, path in steps:
        if samples not in shown | in_film:
            continue
        rows = _rows(record, path.name, 2, found)
        if rows is None:
            continue
        anchors = rows[0]
        if samples in shown:
            note = "untrained" if samples == 0 else ""
            middle[samples] = Column(short(samples), note, "steps", rows[1])
        if samples in in_film:
            found.frames.append((samples, rows[1]))
    if record.preview(FINAL) and (rows := _rows(record, FINAL, 2, found)) is not None:
        anchors = rows[0]
        kept = kept_samples(record)
        middle.pop(kept, None)
        middle[kept] = Column("kept", "" if kept is None else short(kept), "kept", rows[1])
    if anchors:
        found.columns = [
            Column("anchor", "", "anchor", anchors),
            *middle.values(),
            *_other_transforms(record, anchors, found),
        ]
        found.columns += _steering(others, anchors, found)
    return found


def kept_samples(record: Record) -> int | None:
    """How many samples the navigator that a finished run kept was trained on."""
    if not record.summary:
        return None
    chosen = number(record.summary, "stop_rules", str(record.summary.get("ended_by")), "chosen")  # of older runs
    kept = number(record.summary, "kept") or chosen or number(record.summary, "samples")
    return None if kept is None else round(kept)


def short(samples: int) -> str:
    """A number of samples for the head of a column: 8,064; 125k."""
    return f"{samples:,}" if samples < 100_000 else format_count(round(samples, -3))


def spread(count: int, most: int) -> list[int]:
    """At most so many of the numbers below a count, evenly spread, with the first and the last."""
    if count <= most:
        return [*range(count)]
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def _rows(record: Record, name: str, least: int, found: Evolution) -> list[list[Image.Image]] | None:
    try:
        rows = read_sheet(record.path / "previews" / name).rows
    except DataError as error:
        found.problems.append(error.what)
        return None
    if len(rows) < least:
        found.problems.append(f"{record.path / 'previews' / name} has {len(rows)} rows of images, not {least}.")
        return None
    return rows


def _other_transforms(record: Record, anchors: list[Image.Image], found: Evolution) -> list[Column]:
    if record.preview(BASELINES) is None or (rows := _rows(record, BASELINES, 2, found)) is None:
        return []
    if not same(rows[0], anchors):
        return []
    columns = [Column("Gaussian", GENREP, "other", row) for row in rows[2:3]]
    return [*columns, Column("random", "another z", "other", rows[1])]


def _steering(others: Sequence[Record], anchors: list[Image.Image], found: Evolution) -> list[Column]:
    columns = []
    for other in others:
        if other.stage == STEERING and other.preview(FINAL) is not None:
            rows = _rows(other, FINAL, 3, found)
            if rows is not None and same(rows[0], anchors):
                columns.append(Column("steering", other.path.name, "other", rows[2]))
    return columns


def figure(found: Evolution, record: Record) -> str:
    """The figure and its animation as HTML."""
    if not found.columns:
        return missing(
            "This run has no previews yet.",
            f"{code('copgen navigate')} writes one every {code('preview_every')} samples.",
        )
    rows = [[column.images[k] for column in found.columns] for k in range(COUNT)]
    first = _matrix(found.columns, rows[:SHOWN], start=0)
    rest = _matrix(found.columns, rows[SHOWN:], start=SHOWN)
    more = tag("details", tag("summary", f"{COUNT - SHOWN} more anchors") + rest)
    told = (
        "Each row is an anchor x = G(z); the columns are its positives after so many training samples, from the same z."
    )
    if any(column.note == GENREP for column in found.columns):
        std = number(record.config, "prior_std") or prior_std_of(str(record.config.get("generator", "")))
        told += " Gaussian: GenRep's random step" + (f" of standard deviation {std:g}." if std else ".")
    lacking = []
    if record.preview(BASELINES) is None:
        lacking.append(
            missing(
                "Columns of other transforms are not in this run: it was made by an older copgen.",
                f"Run {code('copgen navigate --overwrite')} to have them.",
            )
        )
    if not any(column.head == "steering" for column in found.columns):
        lacking.append(
            missing(
                "For a column of steering, train a walk with the same generator and seed",
                f"({code('copgen navigate --objective steering')}) and pass its run too.",
            )
        )
    return (
        f'<figure class="plate">{first}{more}<figcaption>{told}</figcaption></figure>{"".join(lacking)}{_film(found)}'
    )


def _matrix(columns: Sequence[Column], rows: Sequence[Sequence[Image.Image]], *, start: int) -> str:
    head = "".join(
        tag(
            "th", f"{escaped(column.head)}<small>{escaped(column.note)}</small>", scope="col", class_=_group(columns, k)
        )
        for k, column in enumerate(columns)
    )
    body = ""
    for place, row in enumerate(rows, start + 1):
        cells = ""
        for k, image in enumerate(row):
            what = f"anchor {place}" if k == 0 else f"positive of anchor {place}, {columns[k].head}"
            cells += (
                f'<td class="{_group(columns, k)}"><img src="{data_uri(image)}" alt="{escaped(what)}" '
                f'width="{image.width}" height="{image.height}"></td>'
            )
        body += tag("tr", cells)
    side = rows[0][0].width
    return tag(
        "div",
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        class_="matrix pixels" if side < 64 else "matrix",
    )


def _group(columns: Sequence[Column], k: int) -> str:
    """The group of a column, and whether it is the first of it."""
    starts = k > 0 and columns[k - 1].group != columns[k].group
    return columns[k].group + (" starts" if starts else "")


def _film(found: Evolution) -> str:
    """The animation: a strip of frames that a style sheet shows one after the other, and a slider."""
    if len(found.frames) < 2:
        return ""
    across = COUNT // 2
    frames = [mosaic(images, across) for _, images in found.frames]
    width, height = frames[0].size
    if frames[0].width > 64 * across:
        factor = 64 * across / frames[0].width
        width, height = round(width * factor), round(height * factor)
        frames = [frame.resize((width, height), Image.Resampling.LANCZOS) for frame in frames]
    strip = Image.new(frames[0].mode, (width, height * len(frames)))
    for k, frame in enumerate(frames):
        strip.paste(frame, (0, k * height))
    anchors = mosaic(found.columns[0].images, across)
    pixels = " pixels" if found.columns[0].images[0].width < 64 else ""
    steps = ",".join(str(samples) for samples, _ in found.frames)
    last = len(frames) - 1
    reel = (
        f'<div class="reel" role="img" aria-label="positives over the training" style="aspect-ratio:{width}/{height};'
        f"background-image:url({data_uri(strip)});background-size:100% {len(frames)}00%;"
        f'--n:{len(frames)};--s:{0.45 * len(frames):.2f}s"></div>'
    )
    slider = (
        f'<label class="scrub"><span>samples</span><input type="range" min="0" max="{last}" value="{last}" '
        f'data-steps="{steps}"><output>{found.frames[-1][0]:,}</output></label>'
    )
    still = f'<img src="{data_uri(anchors)}" alt="anchors" width="{anchors.width}" height="{anchors.height}">'
    return (
        f'<figure class="film{pixels}"><div><h4>anchors</h4>{still}</div><div><h4>positives</h4>{reel}</div>'
        f"<figcaption>{slider}The same sixteen anchors, from {found.frames[0][0]:,} to "
        f"{format_count(found.frames[-1][0])} samples.</figcaption></figure>"
    )
