"""Bounds on how far T_z may move latents; the update that exceeds one is not made.

`delta` is the early return of Algorithm 1: at the first update at which d(z, z') > delta for more than the allowed
share of the batch, or on average. `band` compares the standard deviation of z' - z with that of the Gaussian that
GenRep chose for the generator, as the authors did by eye (appendix B).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from copgen.latents.genrep import prior_std_of
from copgen.latents.operations.shift import NAMES
from copgen.runtime.errors import UsageError
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stopping.names import BAND, DELTA

EFFECTIVE = 0.8796  # standard deviation of a standard normal truncated at +-2


@dataclass(frozen=True)
class Limit:
    """The most that a statistic of the displacement may be.

    Args:
        name: of the rule.
        statistic: one of the names of `Shift.stats`.
        most: the bound.
    """

    name: str
    statistic: str
    most: float

    def exceeded(self, metrics: Mapping[str, float]) -> bool:
        """Whether the update with these metrics must not be made."""
        return metrics[self.statistic] > self.most

    def closeness(self, metrics: Mapping[str, float]) -> float:
        """The statistic in units of the limit; of a count, in units of the first one that exceeds it."""
        return metrics[self.statistic] / (self.most + 1 if self.statistic == "violations" else self.most)

    def exceeded_on_device(self, stats: Tensor) -> Tensor:
        """The same of `Shift.stats` (6,), as a bool tensor ()."""
        return stats[NAMES.index(self.statistic)] > self.most


def limits(settings: NavigateSettings) -> list[Limit]:
    """The limits that the settings give, whether they end the run or are only watched.

    Raises:
        UsageError: the rule `band` for a generator without a known prior value.
    """
    found = []
    if settings.delta is not None and settings.delta_measure == "mean":
        found.append(Limit(DELTA, "d_mean", settings.delta))
    elif settings.delta is not None:
        found.append(Limit(DELTA, "violations", allowed_violations(settings)))
    if (prior := prior_std(settings)) is not None:
        found.append(Limit(BAND, "shift_std", settings.band * prior))
    elif BAND in settings.stop_rules:
        raise UsageError(
            f"stop = 'band' needs the standard deviation to compare with, which is not known for generator "
            f"'{settings.generator}'.",
            fix="Give prior_std in a --config file, or choose another stop rule.",
        )
    return found


def prior_std(settings: NavigateSettings) -> float | None:
    """The standard deviation that GenRep's Gaussian has for this generator, or the one given."""
    return prior_std_of(settings.generator) if settings.prior_std is None else settings.prior_std


def allowed_violations(settings: NavigateSettings) -> int:
    """The number of pairs of a batch that may exceed delta while the required share is within it."""
    K = settings.batch
    return next(over for over in range(K, -1, -1) if (K - over) / K >= settings.delta_share)
