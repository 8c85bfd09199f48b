"""The stages that a sweep can run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copgen.encoders.encoder import FILE_NAME as ENCODER
from copgen.latents.navigator import FILE_NAME as NAVIGATOR
from copgen.stages.navigate import stage as navigate
from copgen.stages.pretrain import stage as pretrain
from copgen.training.run_folder import RunFolder


@dataclass(frozen=True)
class Kind:
    """A stage.

    Attributes:
        name: as its run folders say.
        artefact: the file of a finished run.
        run: trains; returns the summary.
        check: refuses settings that cannot work, without reading weights or data.
        estimate: seconds, memory and disk of a run.
        free_of_charge: settings that change neither time nor size of a run.
    """

    name: str
    artefact: str
    run: Callable[..., dict[str, Any]]
    check: Callable[[Any], object]
    estimate: Callable[[Any], dict[str, float]]
    free_of_charge: frozenset[str]

    def folder(self, path: Path) -> RunFolder:
        """The folder of a run."""
        return RunFolder(path, stage=self.name, artefact=self.artefact)


_RATES = frozenset({"seed", "temperature", "lr", "lr_navigator", "lr_encoder", "betas", "loss_scale", "weight_decay"})
_START = frozenset({"init", "init_std"})
_RULES = frozenset({"delta", "delta_share", "delta_measure", "band", "prior_std", "similarity_kept"})
_PATIENCES = frozenset({"turn_half_life", "turn_patience", "probe_patience"})
_SCHEDULES = frozenset({"warmup_epochs", "final_lr", "clip", "momentum", "momentum_schedule", "alpha", "mixing"})
_SAME = _RATES | _START | _RULES | _PATIENCES | _SCHEDULES
KINDS = {
    "navigate": Kind("navigate", NAVIGATOR, navigate.navigate, navigate.check, navigate.estimate, _SAME),
    "pretrain": Kind("pretrain", ENCODER, pretrain.pretrain, pretrain.check, pretrain.estimate, _SAME),
}
