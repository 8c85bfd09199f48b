"""What `make demo` shows after `pipelines/quickstart.sh`: its probes beside those of an untrained encoder, and pairs.

python examples/demo.py runs/demo
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def untrained(folder: Path) -> dict[str, Any]:
    """The same probes on the same architecture with random weights: the baseline."""
    from copgen import EvalLinearSettings, encoders, eval_linear
    from copgen.runtime.seeds import seeded

    config = encoders.EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    with seeded(0, "demo/untrained"):
        backbone = config.build()
    encoders.save_encoder(folder / "untrained", backbone, config, {"stage": "none"})
    return eval_linear(EvalLinearSettings(ckpt=folder / "untrained"))


def picture(folder: Path) -> Path:
    """Plot sixteen anchors above their positives, from the pairs that were written."""
    from copgen.pairs import from_uint8, open_pairs
    from copgen.report.grid import grid_picture, save_picture

    anchors, positives = open_pairs(folder / "pairs", verify="quick").batch(range(16))
    path = folder / "anchors-over-positives.png"
    save_picture(path, grid_picture([from_uint8(anchors), from_uint8(positives)]))
    return path


def main(folder: Path) -> None:
    """The table and the picture of a folder that the pipeline wrote."""
    trained = json.loads((folder / "pretrain/eval/linear/results.json").read_text("utf-8"))
    table = Table(title="Probes on real digits (368 test images), accuracy in %")
    for column in ("encoder", "all labels", "1-NN", "1 label", "5 labels", "10 labels"):
        table.add_column(column, justify="left" if column == "encoder" else "right")
    for name, results in (("untrained", untrained(folder)), ("from generated pairs", trained)):
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
    console.print(f"Anchors (above) and positives (below): {picture(folder)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
