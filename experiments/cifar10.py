"""Table 9 on CIFAR-10 with a small GAN (`python -m experiments.cifar10`): photos instead of digits, three seeds.

The GAN is that of `copgen generator fit cifar10 --recipe gan-cifar10`; its weights are beside this file. f and the
encoders are the small ResNet of MNIST, for 32x32 pixels in colour. A second table has encoders trained without T_x.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.classifier import train_classifier
from experiments.mnist import CENTRED
from experiments.mnist_setting import LEARNING, MNIST
from experiments.table9 import table9

NAME, SEEDS = "cifar10", (0, 1, 2)
WEIGHTS = Path(__file__).parent / "weights" / "cifar10-gan.safetensors"
VIEWS: dict[str, Any] = {"views": "simclr"}
CIFAR10 = replace(
    MNIST,
    name=NAME,
    dataset=NAME,
    recipe="gan-cifar10",
    generator={"generator": "gan", "weights": WEIGHTS},
    navigate={**MNIST.navigate, **VIEWS},
    pretrain={**LEARNING, **VIEWS, "updates": 1000},
)
WITHOUT_VIEWS = replace(CIFAR10, variant="without-views", pretrain={**CIFAR10.pretrain, "views": "none"})


def main() -> None:
    """The paper's rows and the centred navigator; then the paper's rows without T_x, on the same pairs."""
    train_classifier(CIFAR10, epochs=4.0)
    table9(CIFAR10, {"centred": CENTRED}, seeds=SEEDS)
    table9(WITHOUT_VIEWS, {}, seeds=SEEDS)


if __name__ == "__main__":
    main()
