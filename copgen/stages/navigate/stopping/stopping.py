"""When a navigate run stops: the rules of the settings act, the others are only watched.

What every rule says is in the summary, whichever of them ended the run: when it would have ended it (`acts_at`), and,
for the turn of f's loss, the navigator that it would have chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from copgen.latents.navigator import Navigator
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.navigate.stopping.check import Check
from copgen.stages.navigate.stopping.limits import EFFECTIVE, limits, prior_std
from copgen.stages.navigate.stopping.loss_turn import LossTurn, half_life_of
from copgen.stages.navigate.stopping.names import BAND, LOSS_TURN, PERCEPTUAL, PROBE
from copgen.stages.navigate.stopping.perceptual import Perceptual


class Stopping:
    """The stop rules of a run.

    Args:
        settings: of the run.
        checks: those that the settings ask for.

    Attributes:
        name: the rule that ended it.
        rules: those that may end it.
        acts_at: the samples drawn when a rule, acting or not, would have ended it first.
    """

    def __init__(self, settings: NavigateSettings, checks: Sequence[Check] = ()) -> None:
        self.checks = {check.name: check for check in checks}
        self.name = ""
        self.rules = settings.stop_rules
        self.batch = settings.batch
        self.prior_std = prior_std(settings)
        self.limits = limits(settings)
        half_life = settings.turn_half_life or half_life_of(settings.samples)
        self.turn = LossTurn(
            batch=settings.batch, half_life=half_life, patience=settings.turn_patience or 2 * half_life
        )
        self.settings = settings
        self.updates = 0
        self.acts_at: dict[str, int] = {}

    def skips(self, stats: Tensor) -> Tensor | None:
        """Whether the update with this displacement must not be made, () on the device; None: no rule says so.

        Args:
            stats: of `Shift`, (6,).
        """
        acting = [limit.exceeded_on_device(stats) for limit in self.limits if limit.name in self.rules]
        return torch.stack(acting).any() if acting else None

    @property
    def inputs(self) -> dict[str, str]:
        """Hashes of what the rules read."""
        return {name: digest for check in self.checks.values() for name, digest in check.inputs.items()}

    @property
    def warning(self) -> str:
        """That the run ends before its first check; empty if it does not."""
        drawn, every = self.settings.updates * self.settings.batch, self.settings.check_every
        if not self.checks or every <= drawn:
            return ""
        return (
            f"No check of {' and '.join(self.checks)} will be made: the run draws {drawn:,} samples, and "
            f"check_every is {every:,}."
        )

    def due(self, samples: range) -> bool:
        """Whether a check is due after the update with these samples."""
        return any(check.due(samples) for check in self.checks.values())

    def look(self, T_z: Navigator, samples: range) -> dict[str, Tensor]:
        """The metrics of the checks after the update with these samples, if they are due; still on the device."""
        found: dict[str, Tensor] = {}
        for check in self.checks.values():
            if check.due(samples):
                found |= check.look(T_z, samples.stop // self.batch)
        return found

    def penalty(self, x: Tensor, x_pos: Tensor) -> Tensor | None:
        """What T_z pays for the images of a batch, in nats, (); None: nothing."""
        check = self.checks.get(PERCEPTUAL)
        return check.penalty(x, x_pos) if isinstance(check, Perceptual) else None

    def refuses(self, metrics: Mapping[str, float]) -> bool:
        """Skip the update that exceeds a limit: Algorithm 1 returns before it."""
        acting = [self._acts(limit.name) for limit in self.limits if limit.exceeded(metrics)]
        return any(acting)

    def watch(self, metrics: dict[str, float], weights: Mapping[str, Tensor]) -> bool:
        """Whether this update is the last one under a rule that looks back; adds `loss_smoothed` and `rule_*`.

        `rule_NAME` is how close a rule, acting or not, is to ending the run: 0 is far, 1 ends it.
        """
        self.updates += 1
        turned = self.turn.watch(metrics["loss_encoder"], weights)
        metrics["loss_smoothed"] = self.turn.smoothed()
        checked = [check for check in self.checks.values() if check.metric in metrics]
        ended = [LOSS_TURN] if turned else []
        ended += [check.name for check in checked if check.ends(metrics)]
        close = {limit.name: limit.closeness(metrics) for limit in self.limits} | {LOSS_TURN: self.turn.closeness()}
        close |= {check.name: check.closeness(metrics, self.updates) for check in checked}
        metrics |= {f"rule_{name.replace('-', '_')}": value for name, value in close.items()}
        acting = [self._acts(name) for name in ended]
        return any(acting)

    def _acts(self, name: str) -> bool:
        self.acts_at.setdefault(name, self.updates * self.batch)
        if name in self.rules:
            self.name = self.name or name
        return name in self.rules

    @property
    def choice(self) -> tuple[int, Mapping[str, Tensor]] | None:
        """Number of updates and weights of the navigator that a rule chose; None: that of the end.

        The rule that ended the run chooses. Samples and limits do not: then `probe`, if it is one of the rules, does.
        """
        if self.name == LOSS_TURN:
            return self.turn.chosen_update, self.turn.best
        if self.name in self.checks:
            check = self.checks[self.name]
            return check.chosen_update, check.best
        probe = self.checks.get(PROBE) if PROBE in self.rules else None
        return (probe.chosen_update, probe.best) if probe is not None and probe.chosen_update else None

    def signals(self, metrics: Mapping[str, float]) -> dict[str, dict[str, Any]]:
        """What each rule says at the end of the run, for the summary.

        Args:
            metrics: of the final navigator's displacement.
        """
        found: dict[str, dict[str, Any]] = {
            limit.name: {"measure": limit.statistic, "limit": limit.most, "acts_at": self.acts_at.get(limit.name)}
            for limit in self.limits
        }
        if self.prior_std is not None:
            std = metrics["shift_std"]
            found[BAND] |= {"of_nominal": std / self.prior_std, "of_effective": std / (EFFECTIVE * self.prior_std)}
        found[LOSS_TURN] = {
            "measure": "samples_since_minimum",
            "limit": self.turn.patience * self.batch,
            "chosen": self.turn.chosen_update * self.batch or None,
            "acts_at": self.acts_at.get(LOSS_TURN),
        }
        for name, check in self.checks.items():
            found[name] = {**check.signals(self.batch), "acts_at": self.acts_at.get(name)}
        return found

    def state_dict(self) -> dict[str, Any]:
        own = {"name": self.name, "updates": self.updates, "acts_at": self.acts_at}
        checks = {name: check.state_dict() for name, check in self.checks.items()}
        return {**own, "turn": self.turn.state_dict(), **checks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        if "turn" in state:  # older versions kept another mean, which is not resumed
            self.name, self.acts_at = state["name"], dict(state["acts_at"])
            self.turn.load_state_dict(state["turn"])
            for name, check in self.checks.items():
                check.load_state_dict(state[name])
