"""`copgen show`: what is in a pairs folder, and how it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.panels import WHAT
from copgen.runtime.sizes import size
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row, answer
from copgen_cli.histogram import bars
from copgen_cli.story import Story

MOST_CLASSES = 12  # shown one by one; of more only the largest and the smallest
Index = Annotated[
    int | None,
    typer.Option("--index", "-i", parser=o.whole, metavar="K", help="Only pair K.", rich_help_panel=WHAT),
]
Number = Annotated[
    int | None,
    typer.Option("--n", "-n", parser=o.count, metavar="COUNT", help="Pairs to draw (24).", rich_help_panel=WHAT),
]
Read = Annotated[
    int | None,
    typer.Option(parser=o.count, metavar="COUNT", help="Pairs to read d and class of (200k).", rich_help_panel=WHAT),
]
Picture = Annotated[
    Path | None,
    o.file("The picture, PNG (pairs.png)."),
]


@command("copgen show pairs/", "copgen show pairs/ --n 48 --out sheet.png", "copgen show pairs/ --index 123456")
def show(
    pairs: o.PairsFolder = Path("pairs"),
    index: Index = None,
    n: Number = None,
    read: Read = None,
    out: Picture = None,
    *,
    report: o.Report,
) -> None:
    """Say what is in a pairs folder, and draw a sheet of its pairs.

    Counts, bytes, the distribution of d(z, z'), the pairs of each class. With
    --index one pair and all that is known of it. The folder may be unfinished.
    """
    from copgen.stages.pairs_folder import show as stage

    with Story(quiet=report.quiet) as story:
        if index is not None:
            one = stage.show_pair(pairs, index, out=out or Path(f"pair-{index}.png"))
            answer({"folder": str(pairs), **one}, pair_rows(one), as_json=report.as_json)
            story.next("copgen", "show", f"{pairs}/")
            return
        picture = out or Path("pairs.png")
        found = stage.show(pairs, out=picture, pairs=n or stage.PAIRS, read=read or stage.READ, events=story)
        answer({"folder": str(pairs), **found}, rows(pairs, found), as_json=report.as_json)
        story.next("copgen", *(["pretrain", "--pairs"] if found["finished"] else ["verify"]), f"{pairs}/")


def rows(pairs: Path, found: dict[str, Any]) -> list[Row]:
    """The contents in lines."""
    shards = f"{found['shards']:,} {'shard' if found['shards'] == 1 else 'shards'}"
    there = f"{found['pairs']:,} in {shards} of {pairs}/"
    if not found["finished"]:
        there += f"; unfinished: {found['pairs_planned']:,} in {found['shards_planned']:,} are planned"
    channels, height, width = found["image_shape"]
    positives = "1 positive" if found["positives"] == 1 else f"{found['positives']} positives"
    colour = "grey" if channels == 1 else "RGB"
    partly = f", of {found['read']:,} pairs" if found["read"] < found["pairs"] else ""
    lines = [
        ("pairs", there),
        ("bytes", size(found["bytes"])),
        ("images", f"{height} x {width}, {colour}, {found['image_format']}; an anchor and {positives} each"),
        *source_rows(found["source"]),
    ]
    if d := found["d"]:
        low, middle, high = d["quantiles"].values()
        spread = f"mean {d['mean']:.4f}; 1, 50 and 99 %: {low:.4f}, {middle:.4f}, {high:.4f}{partly}"
        edges = d["histogram"]["edges"]
        labels = [f"{edge:.4f}" for edge in edges[:-1]]
        lines += [("d(z, z')", spread), *bars(labels, d["histogram"]["counts"])]
    else:
        lines.append(("d(z, z')", "not known"))
    return [*lines, *class_rows(found["classes"], partly), ("picture", found["picture"])]


def source_rows(source: dict[str, Any]) -> list[Row]:
    """Where the pairs come from."""
    if "imported" in source:
        known = source["imported"]
        return [("imported", f"from {known['name']}, {known['files']:,} images named as the authors do")]
    return [
        ("generator", f"{source['generator']['name']}, seed {source['seed']}"),
        ("transform", with_numbers(source["transform"])),
    ]


def with_numbers(one: dict[str, Any]) -> str:
    """A name with its settings."""
    numbers = ", ".join(f"{name} {value}" for name, value in sorted(one["settings"].items()))
    return f"{one['name']} ({numbers})" if numbers else str(one["name"])


def class_rows(classes: dict[str, Any] | None, partly: str) -> list[Row]:
    """How many pairs each class has; of many classes the largest and the smallest."""
    if classes is None:
        return []
    pairs: dict[str, int] = classes["pairs"]
    kinds = "classes" if classes["kind"] == "class" else "instances"
    fewest, most = min(pairs.values()), max(pairs.values())
    spread = f"{classes['count']:,}, with {f'{fewest:,} to ' * (fewest < most)}{most:,} pairs each{partly}"
    shown = list(pairs)
    if len(shown) > MOST_CLASSES:
        ordered = sorted(pairs, key=lambda name: -pairs[name])
        shown = [*ordered[: MOST_CLASSES // 2], *ordered[-(MOST_CLASSES // 2) :]]
        spread += f"; the {MOST_CLASSES // 2} largest and smallest:"
    return [(kinds, spread), *bars(shown, [pairs[name] for name in shown])]


def pair_rows(one: dict[str, Any]) -> list[Row]:
    """One pair in lines."""
    members = [(member["name"], f"{member['bytes']:,} bytes at {member['offset']:,}") for member in one["members"]]
    known = [(name, str(value)) for name, value in one["metadata"].items()]
    return [("pair", f"{one['index']:,}, in {one['file']}"), *members, *known, ("picture", one["picture"])]
