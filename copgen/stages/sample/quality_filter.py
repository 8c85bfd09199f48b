"""The quality filter of `copgen sample`: which draws it rejects, and after how many draws it fails.

The rules bound d(z, z'), and the cosine similarity of anchor and positive under an encoder; with several positives,
each must satisfy them. `copgen.stages.sample.batches` redraws rejected pairs.

Legend: N draws, P positives; x, x' (N, C, H, W) in [-1, 1]; h, h' (N, D).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from copgen.generators import Generator
from copgen.pairs import FilterRules
from copgen.runtime.errors import UsageError
from copgen.storage.files import sha256_of

if TYPE_CHECKING:
    from copgen.encoders import Encoder


def load_encoder(path: Path, G: Generator, device: torch.device) -> tuple[Encoder, str]:
    """The encoder f of the rules on similarity, on the device, and the sha256 of its file.

    Raises:
        DataError: it is missing, or fails verification.
        UsageError: its number of channels differs from that of the generator.
    """
    from copgen import encoders  # only if needed: it takes half a second to import
    from copgen.encoders.encoder import encoder_file

    f = encoders.load(path).to(device)
    if f.config.in_channels != G.channels:
        raise UsageError(
            f"The encoder {path} takes images of {f.config.in_channels} channels; '{G.name}' generates {G.channels}.",
            fix="Pass another with --filter-encoder.",
        )
    return f, sha256_of(encoder_file(path))


def similarities(f: Encoder, x: Tensor, positives: Sequence[Tensor]) -> Tensor:
    """The cosines of h = f(x) and each h' = f(x'), float64 (N, P) on the CPU, as in the metadata."""
    h = f(x)
    cosines = torch.stack([F.cosine_similarity(h, f(x_pos), dim=1) for x_pos in positives], dim=1)
    return cosines.double().cpu().round(decimals=6)


def refused(values: Tensor, low: float | None, high: float | None) -> Tensor:
    """Which draws (N,) have a positive whose value (N, P) is out of bounds or NaN."""
    kept = torch.ones(values.shape, dtype=torch.bool)
    if low is not None:
        kept &= values >= low
    if high is not None:
        kept &= values <= high
    return ~kept.all(dim=1)


def give_up(rules: FilterRules, *, rule: str, rows: Tensor, rejected: Tensor, values: Tensor) -> None:
    """Fail if a pair has used up its draws.

    Args:
        rules: of the plan.
        rule: the measured quantity: d or similarity.
        rows: the indices of the rejected pairs (N,).
        rejected: their numbers of rejected draws (N,).
        values: the measured values of the last draw (N, P).

    Raises:
        UsageError: with the pair, the rule and the measured value.
    """
    exhausted = rejected >= rules.attempts
    if not bool(exhausted.any()):
        return
    at = int(exhausted.nonzero()[0])
    bounds = {("min", ">="): getattr(rules, f"min_{rule}"), ("max", "<="): getattr(rules, f"max_{rule}")}
    given = {side: bound for side, bound in bounds.items() if bound is not None}
    said = " and ".join(f"{rule} {sign} {bound:g}" for (_, sign), bound in given.items())
    flags = " or ".join(f"--{side}-{rule}" for side, _ in given)
    measured = ", ".join(f"{value:.4g}" for value in values[at].tolist())
    raise UsageError(
        f"Pair {int(rows[at])} was drawn {int(rejected[at])} times, and no draw satisfies {said}; "
        f"the last has {rule} {measured}.",
        fix=f"Loosen {flags} or raise --attempts, and pass --overwrite to start from scratch.",
    )
