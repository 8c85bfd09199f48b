"""Names of files and classes with any bytes in them: the commands work, and show them escaped, in ASCII if need be."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from copgen.pairs.png import encode
from copgen.runtime.errors import ExitCode
from tests.cli.command import on_streams
from tests.cli.conftest import QUICK_PROBES
from tests.data import made

ODD = "caf\udce9 \x1b[31m\nred\u202e"  # not UTF-8, an escape sequence, a line break, and text from right to left
SHOWN = r"caf\xe9 \x1b[31m\nred\u202e"


def shown(*words: object, code: int = ExitCode.DONE) -> tuple[str, str]:
    """What a command prints on streams that take ASCII only."""
    streams = [io.TextIOWrapper(io.BytesIO(), "ascii", errors="strict", write_through=True) for _ in range(2)]
    ended = on_streams(streams[0], streams[1], *words)
    out, err = (stream.buffer.getvalue().decode("ascii") for stream in streams)
    assert ended == code, err
    assert [one for one in out + err if not one.isprintable() and one != "\n"] == []
    return out, err


def document(*words: object, code: int = ExitCode.DONE) -> Any:
    return json.loads(shown(*words, "--json", code=code)[0])


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with such a name."""
    folder = tmp_path / ODD
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def foreign(path: str) -> None:
    """A checkpoint of another program."""
    content = io.BytesIO()
    torch.save({"state_dict": torchvision.models.resnet18().state_dict()}, content)
    Path(path).write_bytes(content.getvalue())


def test_the_whole_chain(odd: Path, weights: Path) -> None:
    G = odd / f"{ODD}.safetensors"
    shutil.copy(weights, G)
    Path(f"{ODD}.toml").write_text(QUICK_PROBES)
    run, pairs, encoder = f"run {ODD}", f"pairs {ODD}", f"encoder {ODD}"
    short = ("--steps", 128, "--batch", 64, "--verbose")
    err = shown("navigate", "--generator", "digits", "--weights", G, "--out", run, *short)[1]
    assert f"into run {SHOWN}.\n" in err
    assert document("navigate", "--config", f"{run}/config.toml", "--out", run)["already_finished"]
    tiny = ("--set", f"weights={G}", "--set", "samples=32", "--set", "batch=32", "--seeds", 1, "--out", f"sweep {ODD}")
    assert document("sweep", "digits", *tiny) == document("sweep", "digits", *tiny)
    assert SHOWN in shown("sweep", "digits", *tiny)[0]
    assert document("sample", "--navigator", run, "--out", pairs, "--n", 100)["out"] == pairs
    assert SHOWN in shown("verify", pairs)[0]
    assert SHOWN in shown("show", pairs, "--out", f"{ODD}.png")[0]
    assert Path(f"{ODD}.png").is_file()
    shown("pretrain", "--pairs", pairs, "--updates", 2, "--batch", 32, "--out", encoder)
    shown("eval", "linear", "--ckpt", encoder, "--config", f"{ODD}.toml")
    shown("encoder", "inspect", "--ckpt", encoder)
    foreign(f"{ODD}.pth")
    shown("encoder", "import", f"{ODD}.pth", "--out", f"imported {ODD}")
    shown("encoder", "export", "--ckpt", f"{ODD}.pth", "--to", "timm", "--out", f"timm {ODD}.safetensors")
    assert "\\udce9" not in shown("encoder", "inspect", "--ckpt", f"timm {ODD}.safetensors")[0]
    shown("navigator", "show", run)
    shown("navigator", "inspect", run)
    shown("generator", "inspect", "digits", "--weights", G)
    assert ODD in document("verify", f"no {ODD}", code=ExitCode.DATA)["error"]["what"]


def test_datasets_of_any_name(odd: Path) -> None:
    short = ("--updates", 1, "--batch", 2, "--encoder", "resnet18", "--out")
    made.class_folders(odd / "images", classes=(ODD, "dog"))
    assert document("pretrain", "--dataset", "images/", *short, "run")["updates"] == 1
    assert SHOWN in shown("data", "inspect", "images/")[0]
    made.tar(odd / "shards" / f"{ODD}.tar", {f"{ODD}-{k}.png": made.image(k) for k in range(4)})
    assert document("pretrain", "--dataset", odd / "shards", *short, "other")["updates"] == 1
    shutil.rmtree("images/dog")
    for path in Path("images", ODD).iterdir():
        path.write_bytes(b"no image")
    assert SHOWN in shown("pretrain", "--dataset", "images/", *short, "third", code=ExitCode.DATA)[1]


def test_a_dry_run_is_a_settings_file(odd: Path, weights: Path) -> None:
    G = odd / f"{ODD}.safetensors"
    shutil.copy(weights, G)
    words = ("navigate", "--steps", 128, "--batch", 64, "--dry-run")
    out, _ = shown(*words, "--generator", "digits", "--weights", G)
    Path("mine.toml").write_text(out)
    assert document(*words, "--config", "mine.toml")["settings"]["weights"] == str(G)


def test_classes_of_any_name(odd: Path) -> None:
    """They are imported and shown; an export, which makes folders of them, takes plain names only."""
    for number, name in enumerate((ODD, "caf\u00e9")):
        folder = odd / "tree" / name
        folder.mkdir(parents=True)
        for role in ("anchor", "neighbor"):
            image = np.full((1, 8, 8), 40 * number, np.uint8)
            (folder / f"seed0000_sample0000{number}_{role}.png").write_bytes(encode(image))
    shown("import", "tree", "--out", f"pairs {ODD}")
    assert SHOWN not in Path(f"pairs {ODD}", "README.md").read_text()
    shown("import", f"tree/{ODD}", "--out", "one class")
    assert SHOWN in Path("one class", "README.md").read_text()
    shown("show", f"pairs {ODD}")
    shown("show", f"pairs {ODD}", "--index", 1)
    what = document("export", f"pairs {ODD}", "--to", "folder", "--out", "images", code=ExitCode.DATA)["error"]["what"]
    assert repr(ODD) in what or repr("caf\u00e9") in what
