"""The picture of `eval pairs`: the least and the most similar pairs of the sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from copgen.data.pairs_sample import PairsSample
from copgen.report.contact_sheet import Column, contact_sheet
from copgen.report.stacked import stacked

MOST = 128  # pixels of an image's side in the sheet


def sheet(
    sample: PairsSample,
    values: Tensor,
    name: str,
    *,
    rows: int,
    caption: Callable[[int], Sequence[str]],
) -> Image.Image:
    """Render the pairs at both ends of a similarity.

    Args:
        sample: the pairs.
        values: (N,) similarity of each.
        name: of the similarity.
        rows: pairs of each end; fewer if there are not twice as many.
        caption: lines below the pair with this number in the sample.
    """
    order = torch.argsort(values, stable=True).tolist()
    ends = min(rows, max(1, len(order) // 2))
    parts = {"least": order[:ends], "most": order[: -ends - 1 : -1]}
    found = []
    for end, numbers in parts.items():
        columns = [_column(sample, number, caption) for number in numbers]
        found.append(contact_sheet(f"{sample.folder}/: {end} similar of {len(sample):,} pairs ({name})", columns))
    return stacked(found)


def _column(sample: PairsSample, number: int, caption: Callable[[int], Sequence[str]]) -> Column:
    anchor, positive, _ = sample.pair(number)
    images = torch.stack((anchor, positive))
    factor = -(-max(images.shape[-2:]) // MOST)
    if factor > 1:
        images = F.avg_pool2d(images.float(), factor, ceil_mode=True).round().to(torch.uint8)
    return Column(images, (f"#{int(sample.items[number])}", *caption(number)))
