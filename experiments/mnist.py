"""Table 9 on MNIST (`python -m experiments.mnist`): kinds of positives from a small GAN, and forms of the navigator.

Rows as in experiments/digits.py. The Gaussian and COP-Gen have equal numbers of candidates, which are compared on the
validation split by one rule. The forms of the navigator ask why COP-Gen's displacement becomes one shift shared by all
latents, and whether that costs anything; each is run like the chosen COP-Gen row, with one thing changed.
"""

from __future__ import annotations

from typing import Any

from copgen.report.grid import save_picture
from copgen.report.page.raster import picture
from experiments.mnist_setting import MNIST, prepare
from experiments.paired import differences
from experiments.rows import NONE, REAL, RESULTS, Row, choose, gaussian, run_all, table, write
from experiments.strips import strips_of

TABLE_SEEDS = (0, 1, 2, 3, 4)
GAUSSIAN_STDS = (0.05, 0.1, 0.2, 0.4)
DELTAS = (0.02, 0.05, 0.1, 0.2)
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


def until(delta: float, **changes: Any) -> dict[str, Any]:
    """Settings of a navigator that ends where half of a batch reaches delta."""
    return {"stop": "delta", "delta": delta, "delta_share": 0.5, **changes}


def optimal(name: str, navigate: dict[str, Any]) -> Row:
    """A navigator with these settings."""
    return Row(f"cop-gen {name}", sample={"transform": "optimal"}, navigate=navigate)


def main() -> None:
    """Choose on validation, run the table, write `results/mnist.md`, `results/mnist.json` and `results/mnist.png`."""
    prepare()
    best_gaussian, gaussian_scores = choose(MNIST, [gaussian(std) for std in GAUSSIAN_STDS])
    navigators = {f"until d = {delta:g}": until(delta) for delta in DELTAS}
    best, scores = choose(MNIST, [optimal(name, navigate) for name, navigate in navigators.items()])
    assert best.navigate is not None
    forms = [optimal(name, {**best.navigate, **change}) for name, change in FORMS.items()]
    rows = [REAL, NONE, best_gaussian, best, *forms]
    figures = run_all(MNIST, [(row, seed) for seed in TABLE_SEEDS for row in rows])
    by_row = {row.name: [one for one in figures if one["row"] == row.name] for row in rows}
    of_gaussian = {name: by_row[name] for name in by_row if name not in (REAL.name, NONE.name)}
    text = (table(list(by_row.items())), differences(by_row, NONE.name), differences(of_gaussian, best_gaussian.name))
    write("mnist", "\n".join(text), {"validation": {**gaussian_scores, **scores}, "figures": figures})
    label = "Accuracy and labels kept of each seed, for each kind of positives"
    save_picture(RESULTS / "mnist.png", picture(strips_of(by_row, label)))


if __name__ == "__main__":
    main()
