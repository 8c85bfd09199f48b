"""Text files as other systems write them: a byte-order mark and CRLF are read, other encodings are refused by name."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from copgen import generators
from copgen.runtime.errors import CopgenError, ExitCode
from copgen.runtime.row_numbers import parse_rows
from copgen.runtime.settings_files import read_toml
from copgen.stages.pairs_folder.export import read_class_names
from tests.cli.command import copgen
from tests.cli.surface import commands
from tests.generators import narrow

READ: dict[str, Callable[[str], bytes]] = {
    "plain": lambda text: text.encode(),
    "byte-order mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "both": lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode(),
}
REFUSED: dict[str, Callable[[str], bytes]] = {
    "UTF-16": lambda text: text.encode("utf-16"),
    "Latin-1": lambda text: f"{text}# gr\u00fc\u00df\n".encode("latin-1"),
}
CONFIGURED = [path for path, command in commands() if any("--config" in parameter.opts for parameter in command.params)]
NEEDED = {
    "copgen sample": ("--n", "16", "--transform", "none"),
    "copgen generator fit": ("digits",),
    "copgen sweep": ("digits",),
}


# Every other option or argument that names a file to read: what stands before it, and a text whose fault shows that it
# was read; None for files that are not text.
OTHERS: dict[tuple[str, str], tuple[str, str | None]] = {
    ("navigate", "--condition-list"): ("", "5-3"),
    ("navigate", "--blocks"): ("", "5-3"),
    ("sample", "--condition-list"): ("--n 16", "5-3"),
    ("sample", "--only"): ("--n 16", "5-3"),
    ("export", "--class-names"): ("pairs --to genrep --out out", "walrus\nwalrus"),
    ("eval knn", "--ks"): ("", "5-3"),
    ("eval finetune", "--labels"): ("", "5-3"),
    ("eval finetune", "--percent"): ("", "5-3"),
    ("eval few-shot", "--labels"): ("", "5-3"),
    ("eval detect", "--sides"): ("", "5-3"),
    ("eval detect", "--anchors"): ("", "5-3"),
    ("eval few-shot", "--percent"): ("", "5-3"),
    ("eval generator", "--weights"): ("--generator digits --space pixels", None),
    ("navigate", "--weights"): ("--generator digits", None),
    ("navigate", "--instances"): ("--generator icgan-128", None),
    ("sample", "--weights"): ("--n 16 --transform none", None),
    ("sample", "--instances"): ("--n 16 --transform none --generator icgan-128", None),
    ("pretrain", "--weights"): ("", None),
    ("generator import", "file"): ("icgan-128", None),
    ("generator import", "--instances"): ("icgan-128 x.pth", None),
    ("generator inspect", "--weights"): ("digits", None),
    ("generator inspect", "--instances"): ("icgan-128", None),
    ("navigator import", "file"): ("", None),
    ("encoder import", "file"): ("", None),
    ("navigator inspect", "--weights"): ("x", None),
    ("navigator show", "--weights"): ("x", None),
}
WRITTEN, SETTINGS = ("--out",), ("--config",)


def refused(path: Path, read: Callable[[], object]) -> None:
    with pytest.raises(CopgenError, match=path.name) as caught:
        read()
    assert caught.value.code in (ExitCode.USAGE, ExitCode.DATA)


@pytest.mark.parametrize("path", CONFIGURED)
@pytest.mark.parametrize("kind", [*READ, *REFUSED])
def test_config_files_of_every_command(kind: str, path: str, here: Path) -> None:
    """A key that is not known shows that the rest of the file was understood."""
    Path("mine.toml").write_bytes({**READ, **REFUSED}[kind]("# settings\nno_such_setting = 1\n"))
    ended = copgen(*path.split()[1:], *NEEDED.get(path, ()), "--config", "mine.toml")
    assert ended.code == ExitCode.USAGE
    assert "mine.toml" in ended.err
    assert ("no_such_setting" in ended.err) == (kind in READ)


def test_every_file_that_a_command_reads_is_in_the_tables() -> None:
    found = set()
    for path, command in commands():
        for parameter in command.params:
            if parameter.metavar in ("FILE", "ROWS", "SHARDS") and not {*WRITTEN, *SETTINGS} & set(parameter.opts):
                found.add((path.removeprefix("copgen "), parameter.opts[0]))
    assert found == set(OTHERS)


@pytest.mark.parametrize("kind", [*READ, *REFUSED])
@pytest.mark.parametrize(("path", "option"), OTHERS)
def test_other_files_of_every_command(path: str, option: str, kind: str, here: Path) -> None:
    before, text = OTHERS[path, option]
    Path("mine.txt").write_bytes({**READ, **REFUSED}[kind](f"{text or 'not text'}\n"))
    named = ("mine.txt",) if option == "file" else (option, "mine.txt")
    ended = copgen(*path.split(), *before.split(), *named)
    assert ended.code in (ExitCode.USAGE, ExitCode.DATA, ExitCode.ENVIRONMENT), ended.err
    if text is not None:
        assert (text.split("\n")[0] in ended.err) == (kind in READ)
        assert kind in READ or "mine.txt" in ended.err


@pytest.mark.parametrize("kind", READ)
def test_a_settings_file_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(READ[kind]('seed = 3\n[sample]\nnote = """a\nb"""\n'))
    assert read_toml(path) == {"seed": 3, "sample": {"note": "a\nb"}}


@pytest.mark.parametrize("kind", [*READ, *REFUSED])
def test_a_list_of_rows(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes({**READ, **REFUSED}[kind]("15\n# two\n45, 54\n"))
    if kind in READ:
        assert parse_rows(str(path)) == (15, 45, 54)
    else:
        refused(path, lambda: parse_rows(str(path)))


@pytest.mark.parametrize("suffix", [".txt", ".json"])
@pytest.mark.parametrize("kind", [*READ, *REFUSED])
def test_names_of_classes(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"names{suffix}"
    path.write_bytes(
        {**READ, **REFUSED}[kind]("tench\nshark\n" if suffix == ".txt" else '{"0": "tench",\n"1": "shark"}')
    )
    if kind in READ:
        assert read_class_names(path) == ("tench", "shark")
    else:
        refused(path, lambda: read_class_names(path))


@pytest.mark.parametrize("kind", [*READ, *REFUSED])
def test_the_configuration_of_a_generator(kind: str, tmp_path: Path) -> None:
    weights = narrow.biggan_deep_128(tmp_path)
    path = tmp_path / "biggan-deep-128-config.json"
    path.write_bytes({**READ, **REFUSED}[kind](json.dumps(json.loads(path.read_text()), indent=1)))
    if kind in READ:
        assert generators.load("biggan-deep-128", weights=weights).image_size == 128
    else:
        refused(path, lambda: generators.load("biggan-deep-128", weights=weights))
