"""The rule `loss-turn` replayed on curves of f's loss: `python -m tests.stages.navigate.stopping.replay`.

Prints the table of docs/stopping.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from copgen.stages.navigate.stopping.loss_turn import HALF_LIFE, PATIENCE, LossTurn
from tests.stages.navigate.stopping.published import BATCH, FACTOR, LOSS, interpolated, noise, updates

DRAWS = 1000
SAMPLES = 1_000_000
TWICE = ((0, 7.95), (50, 6.85), (185, 6.5), (350, 6.8), (600, 6.2), (1000, 7.0))
CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "published": lambda drawn: interpolated(LOSS, drawn),
    "turns twice, the second minimum lower": lambda drawn: interpolated(TWICE, drawn),
    "flat": lambda drawn: 6.5 + 0.0 * drawn,
    "falls and never turns": lambda drawn: 7.95 - 1.45e-6 * drawn,
    "falls ever more slowly": lambda drawn: 6.5 + 1.45 * np.exp(-drawn / 150e3),
}
NOISES = ((0.1, 0.5), (0.1, 0.9), (0.2, 0.5), (0.2, 0.9), (0.4, 0.5), (0.4, 0.9))


@dataclass(frozen=True)
class Replayed:
    """The outcome of some draws of the noise.

    Attributes:
        chosen: samples of the navigator that is kept, (draws,).
        seen: samples at which the turn was seen; NaN: not at all.
    """

    chosen: np.ndarray
    seen: np.ndarray

    @property
    def near(self) -> float:
        """The share that stopped, and chose a navigator of 150K to 300K samples."""
        return float(np.mean((self.chosen >= 150e3) & (self.chosen <= 300e3) & np.isfinite(self.seen)))


def replayed(curve: str, *, std: float, correlation: float, samples: int = SAMPLES, draws: int = DRAWS) -> Replayed:
    """The rule with its default settings on a curve in the authors' units, with noise from update to update."""
    drawn = updates(samples)
    chosen, seen = [], []
    for losses in CURVES[curve](drawn) + noise((draws, len(drawn)), std=std, correlation=correlation, seed=0):
        turn = LossTurn(batch=BATCH, half_life=HALF_LIFE, patience=PATIENCE)
        turned = any(turn.watch(loss, {}) for loss in (FACTOR * losses).tolist())
        chosen.append(turn.chosen_update * BATCH)
        seen.append(turn.updates * BATCH if turned else np.nan)
    return Replayed(np.asarray(chosen), np.asarray(seen))


def main() -> None:
    """Print the table."""
    print("| curve | noise: std, correlation | stops | keeps the navigator of | stops at | kept 150K to 300K |")
    print("|---|---|---|---|---|---|")
    for curve in CURVES:
        for std, correlation in NOISES if curve == "published" else NOISES[1::4]:
            found = replayed(curve, std=std, correlation=correlation)
            stops = np.isfinite(found.seen)
            kept, seen = found.chosen[stops] / 1e3, found.seen[stops] / 1e3
            when = [f"{x.mean():.0f}K ± {x.std():.0f}K" if len(x) else "-" for x in (kept, seen)]
            print(f"| {curve} | {std}, {correlation} | {100 * stops.mean():.1f} % | {when[0]} | {when[1]} | ", end="")
            print(f"{100 * found.near:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
