"""`copgen show`: the contents of a pairs folder, and a picture of some pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from copgen.runtime.panels import INPUT
from copgen.runtime.sizes import size
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.histogram import bars
from copgen_cli.wording import number_of

MOST_CLASSES = 12  # listed; of more only the largest and the smallest
Index = Annotated[int | None, o.option("--index", "-i", help="Only pair K.", value="K", panel=INPUT, parser=o.whole)]
Number = Annotated[
    int | None, o.option("--n", "-n", help="Pairs in the picture (24).", value="COUNT", panel=INPUT, parser=o.count)
]
Read = Annotated[
    int | None, o.option(help="Pairs to read for d and classes (200k).", value="COUNT", panel=INPUT, parser=o.count)
]
Picture = Annotated[Path | None, o.out("FILE", "Picture, PNG (pairs.png).")]


@command("copgen show pairs/", "copgen show pairs/ --n 48 --out sheet.png", "copgen show pairs/ --index 123456")
def show(
    report: o.Report,
    pairs: o.PairsFolder = Path("pairs"),
    index: Index = None,
    n: Number = None,
    read: Read = None,
    out: Picture = None,
) -> None:
    """Summarise a pairs folder and render some of its pairs.

    Prints counts, bytes, the distribution of d(z, z') and the pairs of each
    class; with --index the metadata of one pair. The folder may be unfinished.
    """
    from copgen.stages.pairs_folder import show as stage

    if index is not None:
        one = stage.show_pair(pairs, index, out=out or Path(f"pair-{index}.png"))
        report.answer({"folder": str(pairs), **one}, pair_rows(one), "copgen", "show", f"{pairs}/")
        return
    with report.story() as story:
        picture = out or Path("pairs.png")
        found = stage.show(pairs, out=picture, pairs=n or stage.PAIRS, read=read or stage.READ, events=story)
    then = ["pretrain", "--pairs"] if found["finished"] else ["verify"]
    report.answer({"folder": str(pairs), **found}, rows(pairs, found), "copgen", *then, f"{pairs}/")


def rows(pairs: Path, found: dict[str, Any]) -> list[Row]:
    """The contents in rows."""
    there = f"{found['pairs']:,} in {number_of(found['shards'], 'shard')} of {pairs}/"
    if not found["finished"]:
        there += f"; unfinished: {found['pairs_planned']:,} in {found['shards_planned']:,} are planned"
    channels, height, width = found["image_shape"]
    positives = number_of(found["positives"], "positive")
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
        lines.append(("d(z, z')", "not recorded"))
    return [*lines, *class_rows(found["classes"], partly), ("picture", found["picture"])]


def source_rows(source: dict[str, Any]) -> list[Row]:
    """Where the pairs come from."""
    if "imported" in source:
        known = source["imported"]
        return [("imported", f"from {known['name']}, {known['files']:,} images named as by the authors")]
    return [
        ("generator", f"{source['generator']['name']}, seed {source['seed']}"),
        ("transform", with_numbers(source["transform"])),
    ]


def with_numbers(one: dict[str, Any]) -> str:
    """The name of a transform with its settings."""
    numbers = ", ".join(f"{name} {value}" for name, value in sorted(one["settings"].items()))
    return f"{one['name']} ({numbers})" if numbers else str(one["name"])


def class_rows(classes: dict[str, Any] | None, partly: str) -> list[Row]:
    """The pairs of each class; of many classes only the largest and the smallest."""
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
    """One pair in rows."""
    members = [(member["name"], f"{member['bytes']:,} bytes at {member['offset']:,}") for member in one["members"]]
    known = [(name, str(value)) for name, value in one["metadata"].items()]
    return [("pair", f"{one['index']:,}, in {one['file']}"), *members, *known, ("picture", one["picture"])]
