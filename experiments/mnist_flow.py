"""Table 9 on MNIST with a Residual Flow, the paper's kind of generator (`python -m experiments.mnist_flow`).

The flow is that of `copgen generator fit mnist --recipe residual-flow`, two hours of one CPU core; its weights, 24 MB,
are fitted here if they are not there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.mnist import CENTRED
from experiments.mnist_setting import MNIST, prepare
from experiments.table9 import table9

NAME, RECIPE = "mnist-flow", "residual-flow"
FITTED = replace(MNIST, name=NAME).runs / "generator"
FLOW = replace(
    MNIST,
    name=NAME,
    recipe=RECIPE,
    generator={"generator": "residual-flow", "weights": FITTED / "generator.safetensors"},
)
FORMS: dict[str, dict[str, Any]] = {
    "the paper's learning rates": {"lr_navigator": 3e-7, "lr_encoder": 1e-6},  # appendix D
    "centred": CENTRED,
}


def fit() -> None:
    """Fit the flow, or return at once if it is there."""
    import copgen
    from copgen.runtime.settings import resolve

    flags = {"dataset": FLOW.dataset}
    settings = resolve(copgen.FitResidualFlowSettings, "generator fit residual-flow", recipe=RECIPE, flags=flags)
    copgen.fit_residual_flow(settings, out=FITTED)


def main() -> None:
    """Fit the flow, then the paper's rows and the centred navigator."""
    fit()
    prepare()
    table9(FLOW, FORMS)


if __name__ == "__main__":
    main()
