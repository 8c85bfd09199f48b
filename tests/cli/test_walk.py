"""The four commands in order, by their defaults: what each prints, and how each finds what the one before wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.command import Outcome, copgen

Walk = tuple[Path, dict[str, Outcome]]
NEXT = {
    "navigate": "copgen sample --out pairs/ --n 10k",
    "sample": "copgen pretrain --pairs pairs/",
    "pretrain": "copgen eval linear --ckpt runs/pretrain",
    "eval linear": "copgen pretrain --dataset digits --out runs/real",
}


@pytest.mark.parametrize("command", NEXT)
def test_ends_well_with_the_next_command(walk: Walk, command: str) -> None:
    outcome = walk[1][command]
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[-1] == f"Next: {NEXT[command]}"


@pytest.mark.parametrize("command", NEXT)
def test_writes_no_control_characters(walk: Walk, command: str) -> None:
    text = walk[1][command].out + walk[1][command].err
    assert [c for c in text if not c.isprintable() and c != "\n"] == []


def test_navigate_tells_its_length_in_both_units_first(walk: Walk) -> None:
    first = walk[1]["navigate"].err.splitlines()[0]
    assert first == "256 samples = 4 updates of 64, generator digits, into runs/navigate."


def test_pretrain_tells_its_length_first(walk: Walk) -> None:
    first = walk[1]["pretrain"].err.splitlines()[0]
    assert first.startswith("192 samples = 3 updates of 64, 0.96 epochs over 200 pairs of pairs/")


def test_answers_name_the_artefact(walk: Walk) -> None:
    assert walk[1]["navigate"].out.split()[:2] == ["navigator", "runs/navigate/navigator.safetensors"]
    assert walk[1]["sample"].out.split()[:4] == ["pairs", "200", "in", "pairs/"]
    assert walk[1]["pretrain"].out.split()[:2] == ["encoder", "runs/pretrain/encoder.safetensors"]


def test_eval_answers_with_one_document(walk: Walk) -> None:
    folder, outcomes = walk
    document = outcomes["eval linear"].document
    assert 0.0 <= document["top1"] <= 1.0
    written = json.loads((folder / document["results"]).read_text())
    assert {name: document[name] for name in written} == written


def test_progress_reaches_the_end_in_plain_lines(walk: Walk) -> None:
    lines = [line for line in walk[1]["navigate"].err.splitlines() if line.startswith("navigate")]
    assert lines[-1].startswith("navigate 100 %  256 of 256 samples")
    assert "loss" in lines[-1]
    assert "chance" in lines[-1]
    assert " d 0." in lines[-1]


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("navigate", "--steps", 256, "--batch", 64), "navigator"),
        (("sample", "--n", 200), "out"),
        (("pretrain", "--updates", 3, "--batch", 64), "encoder"),
    ],
)
def test_again_says_already_finished_and_answers_the_same(
    walk: Walk, weights: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...], key: str
) -> None:
    monkeypatch.chdir(walk[0])
    words = (*words, "--weights", weights) if words[0] == "navigate" else words
    outcome = copgen(*words, "--json")
    assert outcome.code == 0, outcome.err
    assert "already finished" in outcome.err
    assert outcome.document["already_finished"] is True
    assert key in outcome.document


def test_overwrite_starts_anew(walk: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(walk[0], tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    words = ("pretrain", "--updates", 2, "--batch", 64)
    refused, anew = copgen(*words), copgen(*words, "--overwrite", "--json")
    assert refused.code == 2
    assert "updates: 3 -> 2" in refused.err
    assert (anew.code, anew.document["updates"], anew.document["already_finished"]) == (0, 2, False)


def test_quiet_leaves_the_answer_only(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walk[0])
    outcome = copgen("sample", "--n", 200, "-q")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == walk[1]["sample"].out


def test_another_folder_is_named_to_the_next_command(here: Path, weights: Path) -> None:
    outcome = copgen("navigate", "--weights", weights, "--steps", 64, "--batch", 64, "--out", "out of 0.2", "-v")
    assert outcome.err.splitlines()[-1] == "Next: copgen sample --out pairs/ --n 10k --navigator 'out of 0.2'"
    assert "lr_navigator = " in outcome.err  # -v shows the settings
    sampled = copgen("sample", "--n", 20, "--navigator", "out of 0.2", "--json")
    assert (sampled.code, sampled.document["pairs"]) == (0, 20)
