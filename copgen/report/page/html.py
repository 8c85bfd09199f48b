"""Pieces of HTML. All text from outside goes through `escaped`."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

from PIL import Image

from copgen.runtime.printable import printable


def escaped(text: object) -> str:
    """A text for content and quoted attributes; control characters and raw bytes become escapes."""
    return html.escape(printable(str(text)))


def tag(name: str, content: str = "", **attributes: str) -> str:
    """An element; `content` is HTML, attributes are text. `class_` is written as class, `data_x` as data-x."""
    told = "".join(f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"' for key, value in attributes.items())
    return f"<{name}{told}>{content}</{name}>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """A table that scrolls in itself if it is too wide; cells are HTML, the first `texts` columns are words."""

    def cells(kind: str, row: Sequence[str]) -> str:
        named = [("" if k < texts else "n") for k in range(len(row))]
        return "".join(
            f"<{kind}{f' class={how}' if how else ''}>{cell}</{kind}>" for cell, how in zip(row, named, strict=True)
        )

    body = "".join(tag("tr", cells("td", row)) for row in rows)
    return tag("div", tag("table", tag("thead", tag("tr", cells("th", head))) + tag("tbody", body)), class_="wide")


def missing(what: str, remedy: str = "") -> str:
    """Says what a run lacks, and how to get it; both HTML."""
    return tag("p", f"{what} {remedy}".strip(), class_="gap")


def code(text: str) -> str:
    """A command or name."""
    return tag("code", escaped(text))


def data_uri(picture: Image.Image) -> str:
    """A picture as a data URI: lossless where that is small, as for tiny or grey images."""
    buffer = io.BytesIO()
    lossless = picture.width * picture.height <= 4096 or picture.mode in ("L", "LA")
    picture.save(buffer, format="WEBP", lossless=lossless, quality=88, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
