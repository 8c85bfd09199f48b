"""Table 9 on CIFAR-10 with a small GAN (`python -m experiments.cifar10`): photos instead of digits, three seeds.

The GAN is that of `copgen generator fit cifar10 --recipe gan-cifar10`; it is fitted here if it is not there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.classifier import train_classifier
from experiments.fitted import fit, fitted
from experiments.mnist import CENTRED
from experiments.mnist_setting import LEARNING, MNIST
from experiments.table9 import table9

NAME, SEEDS = "cifar10", (0, 1, 2)
VIEWS: dict[str, Any] = {"views": "simclr"}
CIFAR10 = replace(
    MNIST,
    name=NAME,
    dataset=NAME,
    recipe="gan-cifar10",
    generator=fitted("gan", NAME),
    navigate={**MNIST.navigate, **VIEWS},
    pretrain={**LEARNING, **VIEWS, "updates": 1000},
)


def main() -> None:
    """Fit the GAN, then the paper's rows and the centred navigator."""
    fit(CIFAR10)
    train_classifier(CIFAR10, epochs=4.0)
    table9(CIFAR10, {"centred": CENTRED}, seeds=SEEDS)


if __name__ == "__main__":
    main()
