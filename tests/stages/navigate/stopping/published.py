"""The loss of f in the authors' BigBiGAN run, as far as it can be read off their figure, and others to compare with."""

from __future__ import annotations

import math

import numpy as np
from scipy.signal import lfilter  # type: ignore[import-untyped]

BATCH = 176
# Thousands of samples, loss of f as they logged it: 0.1 / 0.07 times the loss in nats. The minimum is flat from 170K to
# 200K, where they stopped by eye.
LOSS = ((0, 7.95), (50, 6.85), (170, 6.5), (200, 6.5), (400, 7.0), (600, 7.2), (800, 7.35), (1000, 7.45), (1600, 7.55))
STD = ((0, 0.213), (50, 0.213), (185, 0.23), (400, 0.28), (600, 0.325), (800, 0.365), (1000, 0.4), (1600, 0.52))
FACTOR = 0.07 / 0.1


def updates(samples: float) -> np.ndarray:
    """The number of samples drawn after each update of a run."""
    drawn: np.ndarray = BATCH * np.arange(1, int(samples) // BATCH + 1)
    return drawn


def interpolated(points: tuple[tuple[float, float], ...], drawn: np.ndarray) -> np.ndarray:
    """The curve through these points at so many samples."""
    thousands, values = zip(*points, strict=True)
    found: np.ndarray = np.interp(drawn, 1000 * np.asarray(thousands), np.asarray(values))
    return found


def noise(shape: tuple[int, int], *, std: float, correlation: float, seed: int) -> np.ndarray:
    """Autoregressive processes of first order with that standard deviation, (draws, updates)."""
    white = np.random.default_rng(seed).standard_normal(shape)
    white[:, 1:] *= math.sqrt(1.0 - correlation**2)
    found: np.ndarray = std * lfilter([1.0], [1.0, -correlation], white, axis=1)
    return found
