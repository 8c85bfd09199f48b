"""Table 9 on MNIST with a Residual Flow, the paper's kind of generator (`python -m experiments.mnist_flow`).

The flow is that of `copgen generator fit mnist --recipe residual-flow`, two hours of one CPU core; its weights, 24 MB,
are fitted here if they are not there.
"""

from __future__ import annotations

from dataclasses import replace

from experiments.fitted import fit, fitted
from experiments.mnist import FORMS
from experiments.mnist_setting import MNIST, prepare
from experiments.table9 import table9

NAME = "mnist-flow"
FLOW = replace(MNIST, name=NAME, recipe="residual-flow", generator=fitted("residual-flow", NAME))
CHANGES = {name: FORMS[name] for name in ("the paper's learning rates", "centred")}


def main() -> None:
    """Fit the flow, then the paper's rows and the centred navigator."""
    fit(FLOW)
    prepare(FLOW)
    table9(FLOW, CHANGES)


if __name__ == "__main__":
    main()
