"""`copgen sample` with several workers, in slices, of some shards alone, and to other places than a folder."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from copgen import pairs
from copgen.runtime.errors import ExitCode
from tests.cli.command import copgen as run

ROOT = Path(__file__).parents[2]
SMALL = ("--generator", "digits", "--tz", "gaussian", "--device", "cpu")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--shard-slice", "2"), "'2' is not a slice"),
        (("--shard-slice", "2/2"), "0/2 to 1/2"),
        (("--workers", "0"), "at least 1"),
        (("--only", "x"), "'x'"),
        (("--shard-slice", "0/2", "--overwrite", "--n", "8", *SMALL), "slice 0/2"),
        (("--out", "s4://bucket/pairs", "--n", "8", *SMALL), "'s4'"),
        (("--out", "memory://pairs", "--workers", "2", "--n", "8", *SMALL), "in the memory of one process"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.parametrize("rank", ["", "1"])
def test_2_with_the_fix_from_every_worker(
    here: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str, rank: str
) -> None:
    if rank:
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = run("sample", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert says in outcome.err
    assert list(here.iterdir()) == []


def test_an_object_store_and_the_command_that_copies_it(here: Path, weights: Path) -> None:
    words = ("sample", "--out", "memory://cli/pairs", "--weights", weights, "--n", 8, *SMALL)
    outcome = run(*words, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document == {
        "out": "memory://cli/pairs",
        "already_finished": False,
        "pairs": 8,
        "shards": 1,
        "bytes": outcome.document["bytes"],
    }
    assert "Next: rclone sync memory://cli/pairs pairs" in outcome.err
    assert run(*words, "--json").document["already_finished"]
    read = run("pretrain", "--pairs", "s3://bucket/pairs")
    assert read.code == 2
    assert "local" in read.err
    assert "aws s3 sync s3://bucket/pairs pairs" in read.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
@pytest.mark.parametrize("command", ["sample", "export", "import"])
def test_75_from_a_signal_before_the_work_has_begun(
    here: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, command: str
) -> None:
    stage = {
        "sample": "sample.stage.open_source",
        "export": "pairs_folder.export.load_plan",
        "import": "pairs_folder.import_pairs.read_tree",
    }
    monkeypatch.setattr(f"copgen.stages.{stage[command]}", lambda *_, **__: signal.raise_signal(number))
    words = {"sample": ("--n", 8, *SMALL), "export": ("p", "--to", "folder", "--out", "x"), "import": ("tree",)}
    outcome = run(command, *words[command], "--json")
    assert outcome.code == ExitCode.STOPPED
    assert outcome.document["error"]["what"] == f"Stopped by {number.name}."


def test_a_launcher_s_variable_that_is_not_a_number_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "x")
    outcome = run("sample", "--n", 8, *SMALL)
    assert (outcome.code, all(word in outcome.err for word in ("RANK", "'x'"))) == (2, True)


@pytest.mark.soak
def test_75_when_all_workers_are_stopped_and_the_same_command_resumes(tmp_path: Path) -> None:
    words = [*SMALL, "--n", "3k", "--pairs-per-shard", "100", "--batch", "50"]
    assert run("sample", *words, "--out", tmp_path / "straight").code == 0
    command = [sys.executable, "-m", "copgen_cli", "sample", *words, "--out", str(tmp_path / "run"), "--workers", "2"]
    begun = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while len(list((tmp_path / "run/records").glob("*.json"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    begun.send_signal(signal.SIGTERM)
    out, err = begun.communicate(timeout=200)
    assert (begun.returncode, out) == (ExitCode.STOPPED, ""), err
    assert err.count("Stopped by SIGTERM with all its workers; finished shards are kept.") == 1
    assert not list((tmp_path / "run").rglob("*.partial"))
    assert not list((tmp_path / "run/claims").iterdir())

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert re.search(r"[\d,]+ of 3,000 pairs are written already; resuming\.", done.stderr)
    manifests = [(tmp_path / name / "manifest.json").read_bytes() for name in ("run", "straight")]
    assert manifests[0] == manifests[1]
    assert pairs.verify(tmp_path / "run", "full") == []
