"""Text files in run and pairs folders, as an editor of another system or a crash may leave them: read, or named."""

from __future__ import annotations

import codecs
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from copgen.runtime.errors import ExitCode
from tests.cli.command import Outcome, copgen

TEXTS = {".json", ".jsonl", ".toml", ".txt", ".md", ".idx"}
FOR_PEOPLE = {"log.txt", "README.md"}  # no command reads them
READ = "byte-order mark and CRLF"
KINDS: dict[str, Callable[[str], bytes]] = {
    READ: lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode(),
    "Latin-1": lambda text: text.replace("s", "\u00df").encode("latin-1"),
    "empty": lambda text: b"",
    "another JSON value": lambda text: b"[1]\n",
}
NAVIGATE = "navigate --generator digits --weights {weights} --steps 256 --batch 64"
SWEEP = "sweep digits --set weights={weights} --set samples=64 --set batch=64 --seeds 1 --out swept"
PRETRAIN = "pretrain --pairs pairs/ --updates 3 --batch 64"
# A folder, and the commands that read it or resume in it; a file to remove first makes a run unfinished.
CASES = [
    ("pairs", "", "verify pairs/"),
    ("pairs", "", "show pairs/ --n 1"),
    ("pairs", "", "eval pairs pairs/ --classifier none --out new"),
    ("pairs", "", "export pairs/ --to wds-single --out anchors"),
    ("pairs", "manifest.json", "sample --out pairs/ --n 0.2k"),
    ("pairs", "", "pretrain --pairs pairs/ --updates 1 --batch 64 --out new"),
    ("runs/navigate", "", NAVIGATE),
    ("runs/navigate", "navigator.safetensors", NAVIGATE),
    ("runs/navigate", "", "sample --out new --n 16 --dry-run"),
    ("runs/pretrain", "", PRETRAIN),
    ("runs/pretrain", "encoder.safetensors", PRETRAIN),
    ("runs/pretrain", "", "eval linear --ckpt runs/pretrain --config probes.toml --dry-run"),
    ("runs/pretrain/eval", "", "compare runs/"),
    ("swept", "", SWEEP),
    ("tree", "", "export pairs/ --to cop-gen --out tree"),
    ("imported", "manifest.json", "import tree --out imported"),
]


@pytest.fixture(scope="module")
def four(walk: tuple[Path, dict[str, Outcome]], weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the four commands, with a sweep, and its pairs exported to a tree, and imported from there."""
    folder = tmp_path_factory.mktemp("texts") / "walk"
    shutil.copytree(walk[0], folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert copgen("export", "pairs/", "--to", "cop-gen", "--out", "tree").code == ExitCode.DONE
        assert copgen("import", "tree", "--out", "imported").code == ExitCode.DONE
        assert copgen(*SWEEP.format(weights=weights).split()).code == ExitCode.DONE
    return folder


@pytest.mark.parametrize(("folder", "removed", "words"), CASES)
def test_a_file_is_read_or_the_command_names_it(
    folder: str, removed: str, words: str, four: Path, weights: Path, here: Path
) -> None:
    shutil.copytree(four, here, dirs_exist_ok=True)
    names = [path.relative_to(four) for path in (four / folder).rglob("*") if path.suffix in TEXTS]
    names = [name for name in names if name.name not in FOR_PEOPLE]
    assert names
    for name in names:
        for kind, written in KINDS.items():
            if removed and name.name == removed:
                continue
            for left in (folder, "new", "anchors"):
                shutil.rmtree(left, ignore_errors=True)
            shutil.copytree(four / folder, folder)
            if removed:
                Path(folder, removed).unlink()
            name.write_bytes(written((four / name).read_text("utf-8")))
            ended = copgen(*words.format(weights=weights).split())
            what = f"{name} as {kind}: {ended.code}, {ended.err}"
            assert ended.code in (ExitCode.DONE, ExitCode.USAGE, ExitCode.DATA, ExitCode.ENVIRONMENT), what
            if ended.code != ExitCode.DONE:
                assert name.name in ended.out + ended.err, what
                assert kind != READ or "verify" in words or folder == "pairs", what
