"""The evolution of positives as pictures: a labelled PNG for documents, and an animated GIF."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from copgen.report.page.cells import COUNT
from copgen.report.page.evolution import Column, Evolution

CELL, GAP, BETWEEN, MARGIN, HEAD = 72, 4, 16, 16, 52  # pixels
INK, MUTED, KEPT = "#1c1e21", "#5b6067", "#00805d"
FRAME_MS, LAST_MS = 350, 1500


def plate(found: Evolution, *, rows: int) -> Image.Image:
    """The figure: anchors in rows, columns as on the page.

    Args:
        found: with columns.
        rows: how many of the sixteen anchors.
    """
    lefts = [MARGIN]
    for before, column in zip(found.columns, found.columns[1:], strict=False):
        lefts.append(lefts[-1] + CELL + (BETWEEN if before.group != column.group else GAP))
    size = (lefts[-1] + CELL + MARGIN, HEAD + rows * (CELL + GAP) - GAP + MARGIN)
    whole = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(whole)
    large, small = ImageFont.load_default(14), ImageFont.load_default(11)
    for left, column in zip(lefts, found.columns, strict=True):
        middle = left + CELL / 2
        tone = KEPT if column.group == "kept" else INK
        pen.text((middle, HEAD - 22), column.head, fill=tone, font=large, anchor="ms")
        pen.text((middle, HEAD - 8), _within(column, small), fill=MUTED, font=small, anchor="ms")
        for row in range(rows):
            whole.paste(_enlarged(column.images[row]), (left, HEAD + row * (CELL + GAP)))
    return whole


def film(found: Evolution) -> tuple[Image.Image, list[Image.Image], list[int]]:
    """The animation: its first frame, the others, and the time of each in milliseconds.

    The upper row has the anchors, the lower one the positives.
    """
    anchors = found.columns[0].images
    frames = [_pairs(anchors, images, f"{samples:,} samples") for samples, images in found.frames]
    times = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    return frames[0], frames[1:], times


def _pairs(anchors: Sequence[Image.Image], positives: Sequence[Image.Image], told: str) -> Image.Image:
    across = COUNT // 2
    width = across * (CELL + GAP) - GAP + 2 * MARGIN
    whole = Image.new("RGB", (width, HEAD + 2 * CELL + GAP + MARGIN), "white")
    pen = ImageDraw.Draw(whole)
    pen.text((MARGIN, HEAD - 18), "anchors over positives", fill=MUTED, font=ImageFont.load_default(13), anchor="ls")
    pen.text((width - MARGIN, HEAD - 18), told, fill=INK, font=ImageFont.load_default(15), anchor="rs")
    for k in range(across):
        for row, images in enumerate((anchors, positives)):
            whole.paste(_enlarged(images[k]), (MARGIN + k * (CELL + GAP), HEAD + row * (CELL + GAP)))
    return whole


def _enlarged(image: Image.Image) -> Image.Image:
    how = Image.Resampling.NEAREST if image.width < CELL // 2 else Image.Resampling.LANCZOS
    return image.convert("RGB").resize((CELL, CELL), how)


def _within(column: Column, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The note of a column, cropped to its width."""
    note = column.note
    while note and font.getlength(note) > CELL + GAP:
        note = note[:-1]
    return note
