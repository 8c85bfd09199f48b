"""show, verify, export and import from the command line: answers, exit codes, and the next command."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from copgen.pairs import layout
from copgen_cli.histogram import bars
from tests.cli.command import copgen
from tests.pairs import folders
from tests.pairs.test_hostile import GOOD, HOSTILE, PLAN
from tests.pairs.trees import tree


@pytest.fixture
def sampled(here: Path) -> Path:
    """Seven pairs in three shards, in `pairs`."""
    folders.write(Path("pairs"), folders.plan())
    return Path("pairs")


def last(text: str) -> str:
    return text.splitlines()[-1]


@pytest.mark.parametrize(
    ("flag", "checked"), [("", "every byte"), ("--quick", "names, sizes"), ("--decode", "every image")]
)
def test_verify_of_a_whole_folder(sampled: Path, flag: str, checked: str) -> None:
    outcome = copgen("verify", "pairs/", *flag.split())
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[0] == "pairs     7 in 3 shards of pairs/"
    assert checked in outcome.out
    assert last(outcome.out) == "problems  none"
    assert last(outcome.err) == "Next: copgen pretrain --pairs pairs/"


def test_verify_names_shard_and_command_and_ends_with_3(sampled: Path) -> None:
    layout.index_path(sampled, 1).unlink()
    path = layout.tar_path(sampled, 2)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (sampled / "shards/more.tar").write_bytes(b"")
    outcome = copgen("verify")
    assert outcome.code == 3
    lines = outcome.out.splitlines()
    assert lines[2] == "problems  3"
    assert lines[3].startswith("shard 1   pairs/shards/shard-000001.idx is missing")
    assert lines[4] == "  fix     copgen sample --out pairs/ --only 1"
    assert lines[5].startswith("shard 2   pairs/shards/shard-000002.tar was modified")
    assert lines[6] == "  fix     copgen sample --out pairs/ --only 2"
    assert lines[8] == "  fix     rm pairs/shards/more.tar"
    assert last(outcome.err) == "Next: copgen sample --out pairs/ --only 1"
    as_json = copgen("verify", "pairs", "--json", "--quick")
    document = as_json.document
    assert (as_json.code, document["whole"], document["level"]) == (3, False, "quick")
    assert [problem["shard"] for problem in document["problems"]] == [1, None]
    assert document["problems"][0]["command"] == ["copgen", "sample", "--out", "pairs/", "--only", "1"]


def test_verify_lists_one_command_for_each_shard_and_not_too_many_lines(here: Path) -> None:
    folders.write(Path("pairs"), folders.plan(pairs=30, pairs_per_shard=1))
    for number in range(30):
        layout.tar_path(Path("pairs"), number).unlink()
        layout.index_path(Path("pairs"), number).unlink()
    lines = copgen("verify", "--quick").out.splitlines()
    assert lines[2] == "problems  60"
    assert sum("  fix " in line for line in lines) == 10
    assert last("\n".join(lines)).strip() == "and 40 more; --json lists all"


def test_verify_warns_of_temporary_files_and_refuses_what_is_not_a_pairs_folder(sampled: Path) -> None:
    (sampled / "claims").mkdir()
    (sampled / "claims/shard-000001.json").write_text("{}")
    outcome = copgen("verify", "pairs")
    assert outcome.code == 0
    assert "1 temporary file " in outcome.err
    assert "pairs/claims/shard-000001.json" in outcome.err
    for words in (("verify", "."), ("verify", "absent"), ("show", "."), ("export", ".", "--to", "folder", "-o", "x")):
        refused = copgen(*words)
        assert (refused.code, refused.out) == (3, "")
        assert "Error: " in refused.err
    assert copgen("verify", "--quick", "--decode").code == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_verify_refuses_a_hostile_tar_and_writes_nothing(here: Path, name: str) -> None:
    folders.write(Path("pairs"), PLAN)
    folders.put_tar(Path("pairs"), PLAN, 0, folders.tar_of(GOOD))
    members, message = HOSTILE[name]
    folders.put_tar(Path("pairs"), PLAN, 0, folders.tar_of(members))
    before = folders.files(here)
    outcome = copgen("verify", "pairs", "--decode")
    assert outcome.code == 3
    assert message in outcome.out
    assert folders.files(here) == before


def test_show_draws_and_counts(sampled: Path) -> None:
    outcome = copgen("show", "pairs/")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("pairs      7 in 3 shards of pairs/\n")
    assert "6 x 5, grey, png; an anchor and 1 positive each" in outcome.out
    assert "optimal (delta 0.23)" in outcome.out
    assert last(outcome.out) == "picture    pairs.png"
    assert Path("pairs.png").read_bytes().startswith(b"\x89PNG")
    assert last(outcome.err) == "Next: copgen pretrain --pairs pairs/"


def test_show_tells_one_pair(sampled: Path) -> None:
    outcome = copgen("show", "pairs", "--index", 5)
    assert outcome.out.splitlines()[0].split() == ["pair", "5,", "in", "pairs/shards/shard-000001.tar"]
    assert "distance" in outcome.out
    assert Path("pair-5.png").exists()
    document = copgen("show", "pairs", "--index", 5, "--out", "x.png", "--json").document
    assert (document["index"], document["metadata"]["distance"]) == (5, 5 / 8)
    assert copgen("show", "pairs", "--index", 7).code == 2


def test_show_prints_histograms_within_80_columns(here: Path) -> None:
    words = ("--tz", "gaussian", "--std", 0.2, "--n", 60, "--batch", 60)
    assert copgen("sample", *words).code == 0
    outcome = copgen("show")
    rows = [line for line in outcome.out.splitlines() if "█" in line]
    assert len(rows) > 4
    assert max(map(len, outcome.out.splitlines())) <= 80
    document = copgen("show", "--json").document
    assert sum(document["d"]["histogram"]["counts"]) == 60
    assert document["d"]["mean"] == pytest.approx(0.2, abs=0.02)


def test_show_of_an_unfinished_folder_leads_to_verify(sampled: Path) -> None:
    (sampled / "manifest.json").unlink()
    layout.record_path(sampled, 0).unlink()
    outcome = copgen("show", "pairs")
    assert "4 in 2 shards of pairs/; unfinished: 7 in 3 are planned" in outcome.out
    assert last(outcome.err) == "Next: copgen verify pairs/"


@pytest.mark.parametrize("to", ["folder", "genrep", "cop-gen", "wds-single"])
def test_export_says_where_the_images_are(sampled: Path, to: str) -> None:
    outcome = copgen("export", "pairs", "--to", to, "--out", "out")
    assert outcome.code == 0, outcome.err
    assert f"in out/ ({to})" in outcome.out
    again = copgen("export", "pairs", "--to", to, "--out", "out", "--json")
    assert again.document["already_finished"] is True
    assert "out is already finished" in again.err
    assert copgen("export", "pairs", "--to", to, "--out", "pairs").code == 4


def test_export_needs_a_form_that_it_knows(sampled: Path) -> None:
    assert "Did you mean 'genrep'?" in copgen("export", "pairs", "--to", "genrap", "--out", "x").err
    assert copgen("export", "pairs", "--out", "x").code == 2
    assert not Path("x").exists()


def test_import_makes_pairs_that_verify_show_and_pretrain_take(here: Path) -> None:
    tree(Path("set"), {"n01": 40, "n02": 30}, shape=(1, 8, 8))
    outcome = copgen("import", "set", "--out", "pairs", "--pairs-per-shard", 32)
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[:2] == ["pairs    70 in pairs/, 1 positive each", "classes  2"]
    assert last(outcome.err) == "Next: copgen show pairs/"
    assert copgen("verify", "--decode").code == 0
    shown = copgen("show").out
    assert "from set, 140 images" in shown
    assert "d(z, z')  not " in shown
    trained = copgen("pretrain", "--recipe", "digits", "--updates", 2, "--batch", 16)
    assert trained.code == 0, trained.err
    layout.tar_path(Path("pairs"), 1).unlink()
    assert "copgen import set --out pairs/ --only 1" in copgen("verify", "--quick").out
    assert copgen("import", "set", "--only", 1).code == 0
    assert copgen("verify").code == 0


def test_import_refuses_a_bad_tree_and_pairs_of_a_generator(sampled: Path) -> None:
    tree(Path("set"))
    refused = copgen("import", "set")
    assert refused.code == 2
    assert all(command in refused.err for command in ("copgen sample", "copgen import"))
    (Path("set/train/n01") / "seed0000_sample00000_neighbor.png").unlink()
    assert copgen("import", "set", "--out", "new").code == 3
    assert not Path("new").exists()
    shutil.rmtree("set")
    document = copgen("import", "set", "--out", "new", "--json").document
    assert document["error"]["code"] == 3


def test_sample_refuses_imported_pairs(here: Path) -> None:
    copgen("import", tree(Path("set")))
    before = json.loads(Path("pairs/plan.json").read_text())
    outcome = copgen("sample", "--tz", "none", "--n", 5)
    assert outcome.code == 2
    assert "copgen import" in outcome.err
    assert json.loads(Path("pairs/plan.json").read_text()) == before


def test_bars_are_as_long_as_their_share() -> None:
    rows = [text for _, text in bars(["a", "bb", "c", "d"], [80, 40, 0, 1])]
    assert rows == [f" a {'█' * 40} 80", f"bb {'█' * 20} 40", " c  0", " d ▌ 1"]
    assert bars([], []) == []


def test_bars_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert [text for _, text in bars(["a", "b", "c"], [80, 0, 1])] == [f"a {'#' * 40} 80", "b  0", "c # 1"]


def test_bars_of_nothing() -> None:
    assert bars(["a"], [0]) == [("", "a  0")]
