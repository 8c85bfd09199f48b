"""The images of a source in order, decoded and of one size, without augmentation: for evaluation.

    for images in batches(source, size=128, shorter_side=146):
        features.append(encoder(images))                             # aligned with source.labels

Resizing is bilinear with anti-aliasing; then the centre is cropped, as in the usual evaluation on ImageNet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from copgen.data.decoding import decode
from copgen.data.single_threaded import single_threaded
from copgen.data.source import DecodedImages, EncodedImages
from copgen.pairs.pixels import from_uint8
from copgen.runtime.device_copies import to_device
from copgen.runtime.environment import own_cores
from copgen.runtime.errors import UsageError


def batches(
    source: EncodedImages | DecodedImages,
    *,
    size: int | None = None,
    shorter_side: int | None = None,
    channels: int | None = None,
    batch: int = 256,
    items: Tensor | None = None,
    column: int = 0,
    device: torch.device | str = "cpu",
    workers: int | None = None,
) -> Iterator[Tensor]:
    """Batches (K, C, S, S) of the images of a source, float32 in [-1, 1], on the device.

    Args:
        source: the images.
        size: S, pixels; None: images as they are, which must have one size.
        shorter_side: pixels to which the shorter side is resized before the centre is cropped, such as 146 for 128;
            None: `size`, so that only what exceeds a square is cropped.
        channels: C; None: those of the source. Grey images are repeated, colours are averaged to their luminance.
        batch: K; the last may be smaller.
        items: (N,) int64, which images in which order; None: all.
        column: which image of each item; of pairs, 0 is the anchor and 1 the positive.
        device: of the batches.
        workers: threads that decode; None: one for each CPU core of this process.

    Raises:
        UsageError: no size is given, and the images have different ones.
        DataError: an image is unreadable; the error names it.
    """
    if size is None and source.size is None:
        raise UsageError("The images have different sizes.", fix="Say to which size they are resized.")
    chosen = torch.arange(len(source)) if items is None else items
    parts = torch.split(chosen, batch) if len(chosen) else ()
    if isinstance(source, DecodedImages):
        for some in parts:
            images = source.batch(some, torch.full_like(some, column), torch.device(device))
            yield in_colours(fitted(images, size, shorter_side), channels)
    else:
        decoded = partial(_decoded, source, channels or source.channels, size, shorter_side, column)
        for images in _decoded_ahead(parts, decoded, workers or own_cores()):
            yield to_device(images, device)


def _decoded_ahead(parts: Iterable[Tensor], decoded: Callable[[int], Tensor], workers: int) -> Iterator[Tensor]:
    """The images (K, C, S, S) of each part; the next part is decoded while the caller uses this one."""
    pool = single_threaded(workers)
    try:
        underway: deque[Iterator[Tensor]] = deque()
        for some in parts:
            underway.append(pool.map(decoded, some.tolist()))  # all are submitted at once
            if len(underway) > 1:
                yield torch.stack(list(underway.popleft()))
        for images in underway:
            yield torch.stack(list(images))
    finally:
        pool.shutdown(cancel_futures=True)


def _decoded(
    source: EncodedImages, channels: int, size: int | None, shorter_side: int | None, column: int, item: int
) -> Tensor:
    """The image (C, S, S) of an item."""
    pixels = decode(source.encoded(item, column), channels, source.where(item, column))
    return fitted(from_uint8(pixels[None]), size, shorter_side)[0]


def fitted(images: Tensor, size: int | None, shorter_side: int | None = None) -> Tensor:
    """Images (K, C, H, W) resized and cropped at the centre to (K, C, size, size); as they are if size is None."""
    if size is None:
        return images
    shorter = shorter_side or size
    height, width = images.shape[-2:]
    target = (shorter * height // min(height, width), shorter * width // min(height, width))
    if target != (height, width):
        images = F.interpolate(images, target, mode="bilinear", antialias=True, align_corners=False).clamp(-1, 1)
    top, left = round((target[0] - size) / 2), round((target[1] - size) / 2)
    return images[..., top : top + size, left : left + size]


def in_colours(images: Tensor, channels: int | None) -> Tensor:
    """Images (K, C, H, W) in [-1, 1] with another number of channels; None: as they are."""
    if channels is None or images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    weights = images.new_tensor([0.299, 0.587, 0.114])  # of the luminance, as in Pillow
    return (images * weights[:, None, None]).sum(dim=1, keepdim=True)
