"""The measures of similarity by name."""

from __future__ import annotations

import torch

from copgen.evaluation.similarity.cosine import CosineSimilarity
from copgen.evaluation.similarity.measure import Similarity
from copgen.evaluation.similarity.perceptual import NAME as LPIPS
from copgen.evaluation.similarity.perceptual import open_lpips
from copgen.evaluation.similarity.structural import StructuralSimilarity
from copgen.evaluation.spaces import SPACES, check_space, open_space
from copgen.runtime.errors import UsageError, unknown
from copgen.runtime.events import Events

MS_SSIM = "ms-ssim"


def open_similarity(name: str, *, device: torch.device, events: Events) -> Similarity:
    """A measure by name, with its weights on the device.

    Args:
        name: 'ms-ssim', 'lpips', or a space of features (`copgen.evaluation.spaces`), of which it is the cosine.
        device: of its weights.
        events: is told what was read from a file of another program.

    Raises:
        UsageError: an unknown name.
        EnvironmentFault: weights or a package are missing; the error names file, sha256 and address or package.
        DataError: a file that fails verification.
    """
    check_similarity(name)
    if name == MS_SSIM:
        return StructuralSimilarity()
    if name == LPIPS:
        return open_lpips(device=device)
    return CosineSimilarity(open_space(name, device=device, events=events))


def check_similarity(name: str) -> None:
    """Refuse a name that is no measure (UsageError); no weights are looked for."""
    if name in (MS_SSIM, LPIPS):
        return
    try:
        check_space(name)
    except UsageError:
        if ":" in name:
            raise
        raise unknown("measure of similarity", name, (MS_SSIM, LPIPS, *SPACES)) from None
