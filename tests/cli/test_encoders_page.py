"""docs/encoders.md is followed to the letter: its commands, its Python, and the configuration that it shows."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import pytest
import torch
import torchvision

from copgen.encoders import ARCHITECTURES, EncoderConfig, build, save_encoder
from copgen.encoders.export import usage
from tests.cli.command import copgen
from tests.cli.conftest import QUICK_PROBES

PAGE = (Path(__file__).parents[2] / "docs" / "encoders.md").read_text("utf-8")
SMALLER = PAGE.replace("resnet50", "resnet18")  # a quarter of the time
COMMANDS = re.findall(r"^    copgen (.*)$", SMALLER, re.MULTILINE)
CONFIG = EncoderConfig(arch="resnet18", in_channels=3, image_size=128, views="simclr")


def test_the_page_runs(here: Path) -> None:
    save_encoder(Path("runs/pretrain"), build("resnet18"), CONFIG, {"stage": "a test"})
    theirs = torchvision.models.resnet18().state_dict()
    keys = [f"module.encoder_{one}.{name}" for one in "qk" for name in theirs]
    torch.save({"state_dict": dict(zip(keys, [*theirs.values()] * 2, strict=True))}, "moco.pth.tar")
    torch.save({f"encoder.{name}": tensor for name, tensor in build("resnet18", 1).state_dict().items()}, "simclr.pth")
    Path("quick.toml").write_text(QUICK_PROBES)
    assert len(COMMANDS) >= 8
    for command in COMMANDS:
        quick = ["--config", "quick.toml"] if command.startswith("eval") else []
        outcome = copgen(*shlex.split(command), *quick)
        assert outcome.code == 0, outcome.err
    programs = re.findall(r"^```python\n(.*?)^```$", SMALLER, re.MULTILINE | re.DOTALL)
    assert len(programs) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's use of torch.jit
        for program in programs:
            if "timm" in program:
                pytest.importorskip("timm")
            exec(program, {})


def test_the_configuration_of_detectron2_is_the_printed_one() -> None:
    (yaml,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    config = CONFIG.model_copy(update={"arch": "resnet50"})
    assert usage(config, Path("R-50.pkl"), to="detectron2") == yaml.splitlines()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_table_of_architectures(arch: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{arch}` |")]
    net = build(arch)
    _, _, _, features, parameters, stem, _ = (cell.strip() for cell in row.split("|"))
    assert features == str(net.feature_dim)
    assert float(parameters.removesuffix(" M")) == pytest.approx(
        sum(one.numel() for one in net.parameters()) / 1e6, abs=0.05 if arch != "digits" else 0.005
    )
    assert stem == ARCHITECTURES[arch].stem
