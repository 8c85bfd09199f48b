"""`copgen data inspect`: counts, sizes, colours and classes of a dataset or folder, and which images are unreadable.

Every image is decoded, so that none ends a training run later; `quick` reads headers only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from copgen.data.datasets import DATASETS, Images, open_dataset, place_of
from copgen.data.decoding import decode, read_header
from copgen.data.splits import SPLITS
from copgen.data.tensor_images import TensorImages
from copgen.runtime.errors import DataError, UsageError
from copgen.runtime.events import Events, Silent
from copgen.runtime.path_errors import path_errors

AT_ONCE = 64  # images of a thread between two progress events
Size = tuple[int, int]


@path_errors()
def inspect(
    dataset: str | Path, *, root: Path | None = None, quick: bool = False, events: Events | None = None
) -> dict[str, Any]:
    """The content of a dataset or folder.

    Args:
        dataset: a name or a folder, as in `open_dataset`.
        root: the data root, for a name.
        quick: read only the headers of image files.
        events: receives progress and messages.

    Returns:
        For each split the number of images, their heights and widths (min, median, max) and the images of each class;
        `unreadable` lists images with the reason.

    Raises:
        UsageError, DataError, EnvironmentFault: as `open_dataset`.
    """
    events = events or Silent()
    sources = dict(_sources(dataset, root, events))
    total = sum(map(len, sources.values()))
    unreadable: list[dict[str, str]] = []
    splits, done = {}, 0
    events.begin("inspect", total=total, unit="images")
    try:
        for split, source in sources.items():
            sizes: Counter[Size] = Counter()
            for some, bad in _looked_at(source, quick=quick):
                sizes += some
                unreadable += [{"split": split, **one} for one in bad]
                done += some.total() + len(bad)
                events.advance(done, {})
            splits[split] = {
                "images": len(source),
                "height": _spread(sizes, 0),
                "width": _spread(sizes, 1),
                "classes": _class_counts(source),
            }
    finally:
        events.end()
    first = next(iter(sources.values()))
    name = str(dataset)
    return {
        "dataset": name,
        "folder": _folder(name, root),
        "channels": first.channels,
        "classes": len(first.classes),
        "decoded": isinstance(first, TensorImages) or not quick,
        "splits": splits,
        "unreadable": unreadable,
    }


def _sources(dataset: str | Path, root: Path | None, events: Events) -> Iterator[tuple[str, Images]]:
    """The splits that there are."""
    for split in SPLITS:
        try:
            yield split, open_dataset(dataset, split, root=root, events=events)
        except UsageError:
            if split != "test":  # which a folder need not have
                raise


def _looked_at(source: Images, *, quick: bool) -> Iterator[tuple[Counter[Size], list[dict[str, str]]]]:
    """(sizes, unreadable images) of a few images at a time."""
    if isinstance(source, TensorImages):
        if len(source):
            yield Counter({(source.images.shape[2], source.images.shape[3]): len(source)}), []
        return
    files = source

    def look(start: int) -> tuple[Counter[Size], list[dict[str, str]]]:
        sizes: Counter[Size] = Counter()
        bad = []
        for item in range(start, min(start + AT_ONCE, len(files))):
            where = files.where(item, 0)
            try:
                data = files.encoded(item, 0)
                if quick:
                    height, width, _ = read_header(data, where)
                    sizes[height, width] += 1
                else:
                    _, height, width = decode(data, files.channels, where).shape
                    sizes[height, width] += 1
            except DataError as error:
                bad.append({"image": where, "what": error.what})
        return sizes, bad

    with ThreadPoolExecutor() as pool:
        yield from pool.map(look, range(0, len(files), AT_ONCE))


def _spread(sizes: Counter[Size], side: int) -> dict[str, int] | None:
    """Smallest, median and largest of the heights (side 0) or widths (1), pixels; None without images."""
    ordered = sorted((size[side], count) for size, count in sizes.items())
    middle, seen = (sizes.total() + 1) // 2, 0
    for pixels, count in ordered:
        seen += count
        if seen >= middle:
            return {"min": ordered[0][0], "median": pixels, "max": ordered[-1][0]}
    return None


def _class_counts(source: Images) -> dict[str, int] | None:
    """The images of each class, by name; None without classes."""
    if source.labels is None:
        return None
    counts = source.labels.bincount(minlength=len(source.classes)).tolist()
    return dict(zip(source.classes, counts, strict=True))


def _folder(name: str, root: Path | None) -> str | None:
    """The folder that was read; None for data that ship with a package."""
    found = place_of(name, root) if name in DATASETS else Path(name)
    return str(found) if found is not None else None
