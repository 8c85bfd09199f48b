"""`copgen data list` and `inspect`: the datasets that copgen knows, and what a dataset or folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from copgen.runtime.errors import ExitCode
from copgen.runtime.panels import INPUT, SETTINGS
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row
from copgen_cli.wording import number_of

MOST_SHOWN, MOST_NAMES = 20, 12
Dataset = Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="A dataset, or a folder of images or shards.")]
Root = Annotated[
    Path | None, o.option("--data-root", help="Folder of the datasets (COPGEN_DATA).", value="FOLDER", panel=INPUT)
]
Quick = Annotated[bool, o.option("--quick", help="Read headers only, and decode no image.", panel=SETTINGS)]


@command("copgen data list", "copgen data list --data-root /data --json")
def list_datasets(report: o.Report, data_root: Root = None) -> None:
    """List the known datasets, where they are, and where to get them."""
    from copgen.stages.dataset.list import list_datasets as stage

    found = stage(root=data_root)
    rows: list[Row] = []
    for one in found["datasets"]:
        rows += [(one["name"], one["about"]), ("", f"{presence(one)}; licence: {one['licence']}")]
    report.answer(found, [*rows, ("data root", found["data_root"])], "copgen", "data", "inspect", "digits")


def presence(one: dict[str, Any]) -> str:
    """Whether a dataset is there, and otherwise where to get it."""
    if one["embedded"]:
        return str(one["source"])
    return f"in {one['folder']}" if one["folder"] else f"not found; from {one['source']}"


@command("copgen data inspect digits", "copgen data inspect photos/ --quick", "copgen data inspect cifar10 --json")
def inspect(dataset: Dataset, report: o.Report, data_root: Root = None, quick: Quick = False) -> None:
    """Count the images of a dataset or folder, and find unreadable ones.

    Decodes every image, unless --quick is given, and changes nothing. Prints
    sizes, colours and classes of each split. Unreadable images are listed, and
    the exit code is 3 then.
    """
    from copgen.stages.dataset.inspect import inspect as stage

    with report.story() as story:
        found = stage(dataset, root=data_root, quick=quick, events=story)
    root = ["--data-root", str(data_root)] if data_root is not None else []
    skipped = ["--skip-bad", str(len(found["unreadable"]))] if found["unreadable"] else []
    report.answer(found, rows(found), "copgen", "pretrain", "--dataset", dataset, *root, *skipped)
    if found["unreadable"]:
        raise typer.Exit(ExitCode.DATA)


def rows(found: dict[str, Any]) -> list[Row]:
    """The content in rows."""
    splits = found["splits"]
    colour = "grey" if found["channels"] == 1 else "RGB"
    lines: list[Row] = [("dataset", found["dataset"])]
    if found["folder"]:
        lines.append(("folder", found["folder"]))
    for name, split in splits.items():
        classes = f"; {spread_of_classes(split['classes'])}" if split["classes"] else ""
        lines.append((name, f"{number_of(split['images'], 'image')}{pixels(split)}{classes}"))
    lines += [("colours", colour), ("classes", names_of(splits))]
    bad = found["unreadable"]
    checked = "decoded" if found["decoded"] else "headers read"
    lines.append(("unreadable", f"{len(bad):,}" if bad else f"none ({checked})"))
    lines += [("", one["what"]) for one in bad[:MOST_SHOWN]]
    return [*lines, ("", f"and {len(bad) - MOST_SHOWN:,} more; --json lists all")] if len(bad) > MOST_SHOWN else lines


def pixels(split: dict[str, Any]) -> str:
    """The sizes of a split's images: '28 x 28 pixels', or smallest, median and largest."""
    sides = [split["height"], split["width"]]
    if None in sides:
        return ""
    if all(side["min"] == side["max"] for side in sides):
        return f" of {sides[0]['min']} x {sides[1]['min']} pixels"
    low, middle, high = (" x ".join(str(side[which]) for side in sides) for which in ("min", "median", "max"))
    return f"; height x width {low} to {high}, median {middle}"


def spread_of_classes(counts: dict[str, int]) -> str:
    """'10 classes of 100', or '10 classes of 4 to 97'."""
    fewest, most = min(counts.values()), max(counts.values())
    number = f"{len(counts):,} class" + "es" * (len(counts) != 1)
    return f"{number} of {most:,}" if fewest == most else f"{number} of {fewest:,} to {most:,}"


def names_of(splits: dict[str, Any]) -> str:
    """The names of the classes; of many the first and the last."""
    names = list(next(iter(splits.values()))["classes"] or ())
    if len(names) > MOST_NAMES:
        names = [*names[: MOST_NAMES - 1], "...", names[-1]]
    return ", ".join(names) or "none"
