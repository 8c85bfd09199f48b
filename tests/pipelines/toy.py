"""Everything that the pipelines read, in small.

    python -m tests.pipelines.toy toy; COPGEN_TOY=1 pipelines/table6.sh

writes and reads

toy/weights/        narrow generators with random weights, in the published files and folders
toy/datasets/       ImageNet with all of its 1,000 classes, MNIST, and VOCdevkit, of tiny noise
toy/settings.toml   a table for each kind of command
toy/variables.sh    the variables of the pipelines: these folders, lengths and counts
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from copgen.data.imagenet import imagenet100_classes
from tests.data import made, shapes
from tests.generators import narrow

SETTINGS = f"""\
[navigate]
samples = 8
batch = 4
encoder = "digits"
projector = [8, 8]
preview_every = 4
snapshot_every = 4

[steering]
samples = 8
batch = 4

[sample]
batch = 4

[pretrain]
batch = 4
encoder = "digits"
size = 16

["eval linear"]
epochs = 1
label_draws = 1
labels_per_class = [1]
c_grid = [0.01]

["eval generator"]
real_n = 20

["eval detect"]
{shapes.TINY_DETECTOR}"""
COUNTS = {
    "SEEDS": "0",
    "EPOCHS": "0.02",
    "LENGTHS": "0.02 0.04",
    "PAIRS": "8",
    "STDS": "0.01 0.05",
    "SPACE": "pixels",
    "IMAGES": "20",
    "SAMPLES": "8",
    "UPDATES": "2",
    "RATES": "0.026",
    "FEATURES": "pixels",
    "POOL": "8",
}
IN_VOC = {"circle": "bottle", "square": "tvmonitor", "triangle": "dog"}


def imagenet(root: Path) -> None:
    """One image of each class in both splits, and enough of one class for a validation image."""
    known = imagenet100_classes()
    classes = [*known, *(f"n{number:08d}" for number in range(90_000_000, 90_000_000 + 1000 - len(known)))]
    image = made.image(0, side=20)
    names = [f"{split}/{name}/0.png" for split in ("train", "val") for name in classes]
    made.files(root, dict.fromkeys([*names, *(f"train/{known[0]}/{k}.png" for k in range(1, 5))], image))


def voc(root: Path) -> None:
    """Shapes under the names of three of the twenty classes."""
    shapes.devkit(root, trainval=4, test=2)
    for path in root.glob("VOC*/Annotations/*.xml"):
        text = path.read_text("utf-8")
        for name, in_voc in IN_VOC.items():
            text = text.replace(f"<name>{name}</name>", f"<name>{in_voc}</name>")
        path.write_text(text, "utf-8")


def write(folder: Path) -> None:
    """All of it, below `folder`."""
    data, weights = folder / "datasets", folder / "weights"
    weights.mkdir(parents=True)
    for name in narrow.NAMES:
        narrow.published(name, weights)
    imagenet(data / "imagenet")
    made.mnist(data / "mnist", train=50, test=10)
    voc(data / "VOCdevkit")
    (folder / "settings.toml").write_text(SETTINGS)
    places = {"DATA": data, "WEIGHTS": weights, "RUNS": folder / "runs", "CONFIG": folder / "settings.toml"}
    variables = {**{name: str(path.resolve()) for name, path in places.items()}, **COUNTS}
    lines = [f"{name}=${{{name}:-{shlex.quote(value)}}}\n" for name, value in variables.items()]
    (folder / "variables.sh").write_text("# shellcheck shell=bash disable=SC2034\n" + "".join(lines))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
