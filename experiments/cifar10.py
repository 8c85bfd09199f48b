"""Table 9 on CIFAR-10 with a small GAN (`python -m experiments.cifar10`): photos instead of digits, three seeds.

The GAN is that of `copgen generator fit cifar10 --recipe gan-cifar10`; it is fitted here if it is not there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.classifier import train_classifier
from experiments.mnist import CENTRED
from experiments.mnist_setting import LEARNING, MNIST
from experiments.table9 import table9

NAME, RECIPE, SEEDS = "cifar10", "gan-cifar10", (0, 1, 2)
VIEWS: dict[str, Any] = {"views": "simclr"}
FITTED = replace(MNIST, name=NAME).runs / "generator"
CIFAR10 = replace(
    MNIST,
    name=NAME,
    dataset=NAME,
    recipe=RECIPE,
    generator={"generator": "gan", "weights": FITTED / "generator.safetensors"},
    navigate={**MNIST.navigate, **VIEWS},
    pretrain={**LEARNING, **VIEWS, "updates": 1000},
)


def fit() -> None:
    """Fit the GAN, or return at once if it is there."""
    import copgen
    from copgen.runtime.settings import resolve

    flags = {"dataset": CIFAR10.dataset}
    settings = resolve(copgen.FitGanSettings, "generator fit gan", recipe=RECIPE, flags=flags)
    copgen.fit_gan(settings, out=FITTED)


def main() -> None:
    """Fit the GAN, then the paper's rows and the centred navigator."""
    fit()
    train_classifier(CIFAR10, epochs=4.0)
    table9(CIFAR10, {"centred": CENTRED}, seeds=SEEDS)


if __name__ == "__main__":
    main()
