"""Export pairs for other programs: ImageFolder, the authors' tree, and only the anchors as a WebDataset.

`folder`      <class>/000000017.anchor.png, <class>/000000017.positive.png: what torchvision's ImageFolder reads
`genrep`      train/<class>/seed0007_sample00017_anchor.png and ..._neighbor_0.png, ...: what GenRep's code reads
`cop-gen`     train/<class>/seed0007_sample00017_anchor.png and ..._neighbor.png: what the authors' code reads
`wds-single`  shard-000017.tar with 000000017.png, 000000017.json, and 000000017.cls if classes are numbered

Images are copied from the shards byte for byte. Both programs look for names that end in .png, though: in their trees
JPEG and WebP images are decoded and written as PNG. The class comes from a pair's metadata; `named` gives its folder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from copgen.pairs import genrep_folder, layout, png
from copgen.pairs.plan import Contents, ImportedPlan
from copgen.pairs.shard_reader import ShardReader
from copgen.pairs.tar import TarWriter
from copgen.runtime.errors import DataError, UsageError
from copgen.storage.files import TEMPORARY_SUFFIX, disk_faults, writing

Form = Literal["folder", "genrep", "cop-gen", "wds-single"]
FORMS: tuple[str, ...] = get_args(Form)
TREES = ("genrep", "cop-gen")
WITHOUT_CLASS = "all"
PER_FOLDER = 1300  # images that the authors put into each folder of an unconditional generator
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_STEM = re.compile(r"seed\d+_sample\d+")
Metadata = dict[str, Any]
Classes = Sequence[str]


def named(metadata: Metadata, classes: Classes) -> str | None:
    """The folder name for a pair's class or instance; None if it has neither.

    Args:
        metadata: of the pair.
        classes: names of the numbered classes, such as ImageNet's wnids; if empty, the number is the name.

    Raises:
        DataError: the class is not a valid folder name.
        UsageError: there are fewer names than classes.
    """
    known = metadata.get("class", metadata.get("instance"))
    if known is None:
        return None
    if type(known) is int and known >= 0:
        if "class" not in metadata:
            return f"instance-{known:06d}"
        if classes and known >= len(classes):
            raise UsageError(f"A pair has class {known}, but there are only {len(classes)} class names.")
        return classes[known] if classes else f"{known:04d}"
    return plain(known)


def plain(name: object) -> str:
    """The name, if it is a valid name of a single folder.

    Raises:
        DataError: it is not, or leads to another place.
    """
    if not isinstance(name, str) or not valid_name(name):
        raise DataError(f"A pair has the class {name!r}, which is not a valid folder name.")
    return name


def valid_name(name: object) -> bool:
    """Whether a value is a valid name of a single folder."""
    return isinstance(name, str) and _PLAIN.fullmatch(name) is not None


def folder_names(plan: Contents, index: int, metadata: Metadata, classes: Classes) -> list[str]:
    """The file names of a pair's images for torchvision's ImageFolder, in the order of the components."""
    place = named(metadata, classes) or WITHOUT_CLASS
    return [f"{place}/{layout.key(index)}.{component}" for component in plan.components[:-1]]


def roles(form: str, plan: Contents) -> tuple[str, ...]:
    """How a tree's file names number the positives; empty for other forms.

    Imported pairs keep their numbers, so that they have their old names again.

    Raises:
        UsageError: the authors' tree has one positive, and the pairs have several.
    """
    if form == "cop-gen":
        if plan.positives > 1:
            raise UsageError(
                f"The authors' code reads one positive; these pairs have {plan.positives}.", fix="Use --to genrep."
            )
        return genrep_folder.usual_roles(1)
    if form != "genrep":
        return ()
    known = plan.imported.roles if isinstance(plan, ImportedPlan) else None
    return known or genrep_folder.numbered_roles(plan.positives)


def tree_names(form: str, plan: Contents, index: int, metadata: Metadata, classes: Classes) -> list[str]:
    """The file names of a pair's images in a tree of the authors' or of GenRep's.

    Imported pairs get their original names. Others use their class as the seed, as the authors do, and their index as
    the sample; those without a class go into folders of 1,300, as the authors do with BigBiGAN.
    """
    place, stem = named(metadata, classes), metadata.get("file")
    if place is None:
        number, sample = divmod(index, PER_FOLDER)
        place = classes[number] if number < len(classes) else f"{number:04d}"
    else:
        known = metadata.get("class", metadata.get("instance"))
        number, sample = known if isinstance(known, int) else 0, index
    if not isinstance(stem, str) or not _STEM.fullmatch(stem):
        stem = f"seed{number:04d}_sample{sample:05d}"
    return [f"{genrep_folder.PARTITION}/{place}/{stem}_{role}.png" for role in ("anchor", *roles(form, plan))]


NAMES: dict[str, Callable[[Contents, int, Metadata, Classes], list[str]]] = {
    "folder": folder_names,
    **{form: partial(tree_names, form) for form in TREES},
}


def put_images(out: Path, form: str, plan: Contents, classes: Classes, index: int, shard: ShardReader) -> None:
    """Write the images of a pair into the folder `out`, each atomically but without fsync."""
    row = index % plan.pairs_per_shard
    encoded = form in TREES and plan.image_format != "png"
    for column, name in enumerate(NAMES[form](plan, index, shard.metadata(row), classes)):
        path = out / name
        part = path.with_name(path.name + TEMPORARY_SUFFIX)
        with disk_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                part.write_bytes(png.encode(shard.image(row, column)) if encoded else shard.data(row, column))
                os.replace(part, path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise


def put_anchors(out: Path, plan: Contents, number: int, shard: ShardReader, checked: Callable[[int], None]) -> None:
    """Write the anchors of a shard as a WebDataset shard, atomically.

    Args:
        out: the folder to write to.
        plan: the plan of the pairs.
        number: the shard's number.
        shard: the open shard.
        checked: called with the index of each pair before it is written; may raise.
    """
    end = plan.components[0].rpartition(".")[2]
    with writing(out / f"{layout.shard_name(number)}.tar") as stream:
        tar = TarWriter(stream)
        for row, index in enumerate(plan.shard_range(number)):
            checked(index)
            key, metadata = layout.key(index), shard.metadata(row)
            members = {end: shard.data(row, 0)}
            if type(metadata.get("class")) is int:
                members["cls"] = str(metadata["class"]).encode("ascii")
            members["json"] = json.dumps(metadata, sort_keys=True, separators=(",", ":")).encode("ascii")
            tar.add(*((f"{key}.{component}", data) for component, data in members.items()))
        tar.close()
