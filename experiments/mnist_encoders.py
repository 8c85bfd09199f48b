"""Do encoders tell the rows of Table 9 apart if they are trained differently on the same pairs?

Two variants of the experiment on MNIST (`python -m experiments.mnist_encoders NAME`): `without-views` has no
augmentations T_x, so that what a positive adds is all that separates it from its anchor; `2000-updates` has more.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from experiments.mnist import FORMS
from experiments.mnist_setting import LEARNING, MNIST, prepare
from experiments.table9 import table9

VARIANTS = (
    replace(MNIST, variant="without-views", pretrain={**LEARNING, "views": "none", "updates": 600}),
    replace(MNIST, variant="2000-updates", pretrain={**LEARNING, "updates": 2000}),
)
SEARCHED = {name: FORMS[name] for name in ("centred", "centred, with noise")}


def main(names: Sequence[str]) -> None:
    """The variants of these names; candidates are chosen for each, also of the forms that learn more than one shift."""
    chosen = {variant.variant: variant for variant in VARIANTS}
    if not names or not chosen.keys() >= set(names):
        sys.exit(f"Name the variants: {', '.join(chosen)}.")
    prepare()
    for name in names:
        table9(chosen[name], {}, searched=SEARCHED)


if __name__ == "__main__":
    main(sys.argv[1:])
