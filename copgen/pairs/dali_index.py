"""The index file that NVIDIA DALI's `readers.webdataset` reads with a tar (version v1.2, as its `wds2idx` writes it).

The first line is `v1.2 <samples>`; then one line per sample, with `<component> <offset> <size> <member name>` for each
member, all separated by single spaces. Offsets are those of the data, in bytes, and multiples of 512.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from copgen.pairs import layout

VERSION = "v1.2"


def line(index: int, components: Sequence[str], offsets: Iterable[int], sizes: Iterable[int]) -> str:
    """The line of pair `index`."""
    key = layout.key(index)
    parts = zip(components, offsets, sizes, strict=True)
    return " ".join([f"{component} {offset} {size} {key}.{component}" for component, offset, size in parts])


def text(lines: Sequence[str]) -> str:
    """The content of the file, from the lines of its samples."""
    return "\n".join([f"{VERSION} {len(lines)}", *lines, ""])
