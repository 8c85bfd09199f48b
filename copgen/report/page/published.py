"""The authors' published curves of their BigBiGAN run (batch 176), read off their figures, and of their navigator."""

from __future__ import annotations

from copgen.report.page.log import Curve

BATCH = 176
_K = 1000.0
# The loss of f as a share of its chance level ln(2K - 1), so that it can be shown beside a run of any batch size.
LOSS = Curve(
    [_K * x for x in (0, 50, 185, 400, 600, 800, 1000, 1200, 1600)],
    [0.95, 0.82, 0.77, 0.84, 0.86, 0.88, 0.89, 0.90, 0.90],
)
# Standard deviation of z' - z over batch and coordinates.
STD = Curve(
    [_K * x for x in (0, 50, 200, 400, 600, 800, 1000, 1200, 1600)],
    [0.213, 0.213, 0.23, 0.28, 0.325, 0.365, 0.40, 0.44, 0.52],
)
MEAN_WITHIN = 0.03  # of z' - z over batch and coordinates, during the whole run
STOPPED = 200_000  # samples; by eye
# Measured on the navigator that they published: shares of E|T_z(z)|^2.
SPLIT = {"constant": 0.438, "linear": 0.415, "nonlinear": 0.147}


def corresponds(generator: str) -> bool:
    """Whether these curves are of this generator."""
    return generator == "bigbigan"


def until(curve: Curve, samples: float) -> Curve:
    """The part of a curve up to so many samples, with a point there."""
    kept = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if x <= samples]
    after = next(((x, y) for x, y in zip(curve.x, curve.y, strict=True) if x > samples), None)
    if after is not None and kept[-1][0] < samples:
        (a, low), (b, high) = kept[-1], after
        kept.append((samples, low + (high - low) * (samples - a) / (b - a)))
    return Curve([x for x, _ in kept], [y for _, y in kept])
