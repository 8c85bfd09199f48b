"""Table 9 on MNIST with a Residual Flow, the paper's kind of generator (`python -m experiments.mnist_flow`).

The flow is that of `copgen generator fit mnist --recipe residual-flow`, two hours of one CPU core; its weights, 24 MB,
are fitted here if they are not there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from experiments.mnist import FORMS
from experiments.mnist_setting import MNIST, prepare
from experiments.table9 import table9

NAME, GENERATOR = "mnist-flow", "residual-flow"
WEIGHTS = Path("runs") / f"experiment-{NAME}" / "generator" / "generator.safetensors"
FLOW = replace(MNIST, name=NAME, recipe=GENERATOR, generator={"generator": GENERATOR, "weights": WEIGHTS})
CHANGES = {name: FORMS[name] for name in ("the paper's learning rates", "centred")}


def fit() -> None:
    """Fit the flow, or return at once if it is there."""
    import copgen
    from copgen.runtime.settings import resolve

    flags = {"dataset": FLOW.dataset}
    flow = resolve(copgen.FitResidualFlowSettings, "generator fit residual-flow", recipe=FLOW.recipe, flags=flags)
    copgen.fit_residual_flow(flow, out=WEIGHTS.parent)


def main() -> None:
    """Fit the flow, then the paper's rows and the centred navigator."""
    fit()
    prepare(FLOW)
    table9(FLOW, CHANGES)


if __name__ == "__main__":
    main()
