"""The whole pipeline on two cores (`make demo`): navigate, sample, pretrain, eval linear with the embedded generator.

Runs the four commands in the folder `runs/demo`, and ends with a table and a picture.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FOLDER = Path("runs/demo")
COMMANDS = (
    "navigate --generator digits --steps 20k",
    "sample --out pairs/ --n 10k",
    "pretrain --pairs pairs/",
    "eval linear --ckpt runs/pretrain",
)


def copgen(command: str) -> Any:
    """Run one command with its log on the terminal, and return its JSON output."""
    print(f"\n$ copgen {command}", flush=True)
    line = [sys.executable, "-m", "copgen_cli", *command.split(), "--json"]
    done = subprocess.run(line, cwd=FOLDER, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def untrained() -> dict[str, Any]:
    """The same probes on the same architecture with random weights: the baseline."""
    from copgen import EvalLinearSettings, encoders, eval_linear
    from copgen.runtime.seeds import seeded

    config = encoders.EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    with seeded(0, "demo/untrained"):
        backbone = config.build()
    encoders.save_encoder(FOLDER / "runs/untrained", backbone, config, {"stage": "none"})
    return eval_linear(EvalLinearSettings(ckpt=FOLDER / "runs/untrained"))


def picture() -> Path:
    """Plot sixteen anchors above their positives, from the pairs that were written."""
    from copgen.pairs import from_uint8, open_pairs
    from copgen.report.grid import grid_picture, save_picture

    anchors, positives = open_pairs(FOLDER / "pairs", verify="quick").batch(range(16))
    path = FOLDER / "pairs.png"
    save_picture(path, grid_picture([from_uint8(anchors), from_uint8(positives)]))
    return path


def main() -> None:
    """The four commands, the table, the picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    answers = [copgen(command) for command in COMMANDS]
    table = Table(title="Probes on real digits (368 test images), accuracy in %")
    for column in ("encoder", "all labels", "1-NN", "1 label", "5 labels", "10 labels"):
        table.add_column(column, justify="left" if column == "encoder" else "right")
    for name, results in (("untrained", untrained()), ("from generated pairs", answers[-1])):
        few = results["few_labels"]
        shares = [
            results["top1"],
            results["nearest_neighbour"]["top1"],
            *(few[k]["top1_mean"] for k in ("1", "5", "10")),
        ]
        table.add_row(name, *(f"{100 * share:.1f}" for share in shares))
    console = Console()
    console.print()
    console.print(table)
    console.print(f"Anchors (above) and positives (below): {picture()}")


if __name__ == "__main__":
    main()
