"""A generator whose weights are not beside the code: the experiment fits it, as `copgen generator fit` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from experiments.setting import Setting

Kind = Literal["gan", "residual-flow"]


def fitted(kind: Kind, name: str) -> dict[str, Any]:
    """The settings that load the generator of the experiment `name`."""
    return {"generator": kind, "weights": Path("runs") / f"experiment-{name}" / "generator" / "generator.safetensors"}


def fit(setting: Setting) -> None:
    """Fit the setting's generator on its dataset with its recipe, or return at once if it is there."""
    import copgen
    from copgen.runtime.settings import resolve

    kind, weights = setting.generator["generator"], setting.generator["weights"]
    flags = {"dataset": setting.dataset}
    if kind == "gan":
        gan = resolve(copgen.FitGanSettings, "generator fit gan", recipe=setting.recipe, flags=flags)
        copgen.fit_gan(gan, out=weights.parent)
    else:
        flow = resolve(
            copgen.FitResidualFlowSettings, "generator fit residual-flow", recipe=setting.recipe, flags=flags
        )
        copgen.fit_residual_flow(flow, out=weights.parent)
