"""`copgen encoder` and `copgen eval linear` on files of other programs: answers, stories, and how they fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor

from copgen.encoders import build, load
from copgen.encoders.export import FORMATS
from copgen.runtime.errors import ExitCode
from copgen.storage.files import sha256_of
from copgen_cli.export import PROGRAMS
from tests.cli.command import copgen
from tests.cli.conftest import QUICK_PROBES
from tests.storage.foreign.files import pickled_to
from tests.storage.foreign.test_attacks import Reduced


def prefixed(prefix: str, names: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in names.items()}


@pytest.fixture
def files(here: Path) -> Path:
    """A small network of another program for gray images, and torchvision's ResNet-18."""
    torch.manual_seed(0)
    names = prefixed("backbone.", build("digits", 1).state_dict())
    torch.save({"state_dict": {**names, "queue": torch.zeros(2)}}, "a.pth")
    torch.save(torchvision.models.resnet18().state_dict(), "resnet18.pth")
    two = [prefixed(name, build("digits", 1).state_dict()) for name in ("f.", "g.")]
    torch.save({**two[0], **two[1]}, "two.pth")
    Path("quick.toml").write_text(QUICK_PROBES)
    return here


def test_a_file_is_inspected_evaluated_and_imported(files: Path) -> None:
    inspected = copgen("encoder", "inspect", "--ckpt", "a.pth", "--json").document
    assert (inspected["arch"], inspected["in_channels"], inspected["views"]) == ("digits", 1, "mnist")
    assert inspected["sha256"] == inspected["made_by"]["source"]["sha256"] == sha256_of(Path("a.pth"))
    evaluated = copgen("eval", "linear", "--ckpt", "a.pth", "--arch", "digits", "--config", "quick.toml", "--json")
    assert evaluated.code == 0, evaluated.err
    assert "state_dict.queue" in evaluated.err
    assert Path("eval/a.pth/linear/results.json").is_file()
    encoder = evaluated.document["encoder"]
    assert (encoder["config"]["image_size"], encoder["made_by"]["prefix"]) == (8, "state_dict.backbone.")
    imported = copgen("encoder", "import", "a.pth", "--size", 8)
    assert imported.code == 0, imported.err
    assert imported.err.splitlines()[-1] == "Next: copgen eval linear --ckpt runs/imported-encoder"
    again = copgen("eval", "linear", "--ckpt", "runs/imported-encoder", "--config", "quick.toml", "--json").document
    for field in ("top1", "linear", "nearest_neighbour", "few_labels"):
        assert again[field] == evaluated.document[field]
    assert again["encoder"]["made_by"] == encoder["made_by"]


def test_a_file_is_exported(files: Path) -> None:
    outcome = copgen("encoder", "export", "--ckpt", "resnet18.pth", "--to", "torchvision", "--out", "b.safetensors")
    assert outcome.code == 0, outcome.err
    assert "model.load_state_dict(load_file('b.safetensors'))" in outcome.out
    torch.testing.assert_close(load("b.safetensors").state_dict(), load("resnet18.pth").state_dict())
    document = copgen(
        "encoder", "export", "--ckpt", "b.safetensors", "--to", "timm", "--out", "c.pth", "--json"
    ).document
    assert (document["tensors"], document["sha256"]) == (120, sha256_of(Path("c.pth")))
    assert document["source"]["made_by"]["source"]["file"] == "resnet18.pth"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("encoder import", 2, "FILE"),
        ("encoder import absent.pth", 3, "absent.pth is missing"),
        ("encoder import page.pth", 3, "page.pth is a web page"),
        ("encoder import hostile.pth", 3, "eval"),
        ("encoder import two.pth", 3, "--prefix"),
        ("encoder import two.pth --prefix h", 2, "'f.', 'g.'"),
        ("encoder import a.pth --arch resnet18", 3, "--arch digits"),
        ("encoder import a.pth --arch resnet19", 2, "'resnet18'"),
        ("encoder import a.pth --views simclr", 2, "simclr"),
        ("encoder import a.pth --size 0", 2, "'0'"),
        ("encoder inspect", 3, "runs/pretrain/encoder.safetensors"),
        ("encoder inspect --ckpt hostile.pth", 3, "eval"),
        ("encoder export --to torchvision --out b.pth", 3, "runs/pretrain/encoder.safetensors"),
        ("encoder export --ckpt a.pth --to torchvision --out b.pth", 2, "'digits'"),
        ("encoder export --ckpt resnet18.pth --to timn --out b.pth", 2, "'timm'"),
        ("encoder export --ckpt resnet18.pth --to timm --out a.pth", 2, "--overwrite"),
        ("encoder export --ckpt resnet18.pth --to timm --out ./resnet18.pth --overwrite", 2, "is the encoder itself"),
        ("encoder export --ckpt resnet18.pth --to detectron2 --out b.safetensors", 2, "b.pkl"),
        ("export --to torchvision --out b.pth", 2, "copgen encoder export --to torchvision"),
        ("eval linear --ckpt absent.pth", 3, "absent.pth"),
        ("eval linear --ckpt hostile.pth", 3, "eval"),
        ("eval linear --ckpt resnet18.pth", 2, "3 channels; dataset 'digits' has 8 pixels and 1 channels"),
        ("eval linear --ckpt two.pth", 3, "'f.', 'g.'"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(files: Path, words: str, code: int, says: str) -> None:
    Path("page.pth").write_text("<!DOCTYPE html><html>Sign in</html>")
    (files / "hostile").mkdir()
    pickled_to(files / "hostile", "zip", {"a": Reduced(eval, ("open('owned', 'w').close()",))}).rename("hostile.pth")
    before = {path: path.stat().st_mtime_ns for path in files.iterdir()}
    outcome = copgen(*words.split(), "--json")
    error = outcome.document["error"]
    assert (outcome.code, error["code"]) == (code, code)
    assert says in f"{error['what']} {error['fix']}"
    assert {path: path.stat().st_mtime_ns for path in files.iterdir()} == before


def test_an_import_replaces_only_if_told(files: Path) -> None:
    assert copgen("encoder", "import", "a.pth").code == 0
    assert copgen("encoder", "import", "resnet18.pth").code == ExitCode.USAGE
    assert copgen("encoder", "import", "resnet18.pth", "--overwrite").code == 0
    assert load("runs/imported-encoder").config.arch == "resnet18"
    own = copgen("encoder", "import", "runs/imported-encoder/encoder.safetensors", "--out", "x")
    assert (own.code, "--ckpt" in own.err) == (ExitCode.USAGE, True)


def test_the_command_line_knows_all_export_formats() -> None:
    assert tuple(FORMATS) == PROGRAMS
