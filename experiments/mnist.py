"""Table 9 on MNIST (`python -m experiments.mnist`): kinds of positives from a small GAN, and forms of the navigator.

The forms of the navigator ask why COP-Gen's displacement becomes one shift shared by all
latents, and whether that costs anything; each is run like the chosen COP-Gen row, with one thing changed.
"""

from __future__ import annotations

from typing import Any

from experiments.mnist_setting import MNIST, prepare
from experiments.table9 import table9

CENTRED: dict[str, Any] = {"center": True, "lr_navigator": 1e-3}  # ten times the rate: at 1e-4 it hardly moves
FORMS: dict[str, dict[str, Any]] = {
    "the paper's learning rates": {"lr_navigator": 3e-7, "lr_encoder": 1e-6},  # appendix D
    "no output bias": {"output_bias": False},
    "centred": CENTRED,
    "centred, with noise": {**CENTRED, "noise_dim": 16},
    "random sign": {"random_sign": True},
    "weight decay": {"weight_decay_navigator": 10.0},
    "three updates of f": {"encoder_updates": 3, "samples": 3 * 20_480},
    "similarity penalty": {"similarity_penalty": 5.0},
}


def main() -> None:
    """The rows of the paper, and every form."""
    prepare()
    table9(MNIST, FORMS)


if __name__ == "__main__":
    main()
