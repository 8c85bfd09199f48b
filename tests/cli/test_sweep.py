"""`copgen sweep` and `copgen navigate --seeds`: values as they are typed, the table, and docs/sweeps.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from copgen.runtime.errors import ExitCode, UsageError
from copgen.stages.navigate.settings import NavigateSettings
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.stages.sweep import kinds
from copgen_cli.sweeping import cell
from copgen_cli.value_lists import values_of
from tests.cli.command import copgen

PAGE = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text("utf-8")
COMMANDS = re.findall(r"^(?:    )?(?:srun )?copgen ((?:sweep|navigate) .*)$", PAGE.replace("\\\n", ""), re.MULTILINE)
TINY = ("--set", "samples=64", "--set", "batch=32")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("samples=20k,1.3M", (20_000, 1_300_000)),
        ("steps=5k", (5_000,)),
        ("lr-navigator=1e-4, 1e-3", (1e-4, 1e-3)),
        ("seed=0,3", (0, 3)),
        ('stop="delta,loss-turn",delta', ("delta,loss-turn", "delta")),
        ("stop='band,delta'", ("band,delta",)),
        ("projector=[64,64],[512,128]", ([64, 64], [512, 128])),
        ("weights=it's.safetensors,b", (Path("it's.safetensors"), Path("b"))),
        ("activation_checkpointing=true,false", (True, False)),
        ("init=default,target_std", ("default", "target_std")),
        ("init_std=0.01", (0.01,)),
        ("condition_list=1,5", ((1,), (5,))),
    ],
)
def test_values_are_written_as_in_options(text: str, values: tuple[Any, ...]) -> None:
    (found,) = values_of([text], NavigateSettings).values()
    assert found == values


def test_pairs_that_are_made_online_are_a_value() -> None:
    assert values_of(["pairs=online:digits,pairs"], PretrainSettings) == {
        "pairs": (Path("online:digits"), Path("pairs"))
    }


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["delta"], "delta"),
        (["=1"], "=1"),
        (["dleta=1"], "delta"),
        (["delta=wide"], "wide"),
        (["delta="], "delta="),
        (["delta=1,,2"], "empty"),
        (["delta=1", "delta=2"], "given twice"),
        (["samples=1.5"], "1.5"),
        (["anchors=first,bth"], "both"),
        (["projector=64,64"], "bracket"),
        (["projector=[64,64"], "bracket"),
        (["projector=[64;64]"], "[64;64]"),
        (['stop="delta'], "quote"),
        (["activation_checkpointing=yes"], "yes"),
        (["weights=s3://bucket/x"], "s3://bucket/x"),
    ],
)
def test_values_that_cannot_be_read_are_refused(texts: list[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        values_of(texts, NavigateSettings)
    assert says in f"{caught.value.what} {caught.value.fix}"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("digits",), "nothing to sweep"),
        (("digts", "--seeds", 2), "Did you mean 'digits'?"),
        (("digits", "--set", "delta=0.1"), "nothing to sweep"),
        (("digits", "--set", "delta=0.1,-1"), "delta = -1.0"),
        (("digits", "--set", "delta=0.1,0.1"), "given twice"),
        (("digits", "--set", "views=mnist,mnits"), "Did you mean 'mnist'?"),
        (("digits", "--seeds", 0), "at least 1"),
        (("digits", "--seeds", 2, "--stage", "sample"), "Known: navigate, pretrain."),
        (("digits", "--seeds", 2, "--slice", "2/2"), "There is no slice 2/2"),
        (("digits", "--seeds", 2, "--overwrite", "--slice", "0/2"), "--overwrite"),
    ],
)
def test_bad_sweeps_end_with_2_and_write_nothing(here: Path, words: tuple[object, ...], says: str) -> None:
    ended = copgen("sweep", *words, "--json")
    error = ended.document["error"]
    assert (ended.code, error["code"]) == (ExitCode.USAGE, ExitCode.USAGE)
    assert says in f"{error['what']} {error['fix']}"
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("words", [("--nproc", 2), ("--objective", "steering")])
def test_navigate_with_seeds_refuses_what_it_cannot_repeat(here: Path, words: tuple[object, ...]) -> None:
    ended = copgen("navigate", "--seeds", 2, *words)
    assert ended.code == ExitCode.USAGE
    assert "--seeds" in ended.err
    assert list(here.iterdir()) == []


def test_a_sweep_ends_with_its_table_and_the_next_command(here: Path, weights: Path) -> None:
    words = ("sweep", "digits", "--set", f"weights={weights}", *TINY, "--set", "delta=0.4,0.5", "--seeds", 2)
    planned = copgen(*words, "--dry-run", "--json").document
    assert planned["missing"] == [f"delta={delta}/seed-{seed}" for delta in (0.4, 0.5) for seed in (0, 1)]
    assert list(here.iterdir()) == []
    first = copgen(*words, "--slice", "0/2", "--out", "swept")
    assert first.code == 0, first.err
    assert "2 runs missing" in first.err
    told = copgen(*words, "--out", "swept")
    assert told.code == 0, told.err
    head, *rows = told.out.splitlines()
    assert head.split()[:3] == ["delta", "stopped", "by"]
    assert [row.split()[:3] for row in rows[:2]] == [["0.4", "samples", "2"], ["0.5", "samples", "2"]]
    assert "+-" in rows[0]
    assert "--navigator swept/delta=0.4/seed-0" in told.err
    again = copgen(*words, "--out", "swept", "--json")
    assert again.document["missing"] == []
    assert "navigate 100 %" not in again.err
    assert "finished" in copgen(*words, "--out", "swept", "--dry-run").out


def test_navigate_with_seeds_is_a_sweep_without_values(here: Path, weights: Path) -> None:
    words = ("navigate", "--weights", weights, "--samples", 64, "--batch", 32, "--seed", 3, "--seeds", 2)
    found = copgen(*words, "--json")
    assert found.code == 0, found.err
    assert [run["name"] for run in found.document["runs"]] == ["seed-3", "seed-4"]
    assert (here / "runs/navigate/seed-4/navigator.safetensors").exists()
    assert found.document["rows"][0]["measures"]["shift.d_mean"]["n"] == 2
    alone = copgen("navigate", "--weights", weights, "--samples", 64, "--batch", 32)
    assert alone.code == ExitCode.ENVIRONMENT  # the folder is that of a sweep


def test_a_diverged_run_is_passed_over_and_ends_with_5(here: Path, weights: Path) -> None:
    words = ("sweep", "digits", "--set", f"weights={weights}", *TINY, "--set", "lr_encoder=1e30,1e-3")
    found = copgen(*words, "--out", "swept")
    assert found.code == ExitCode.DIVERGED
    assert "lr_encoder=1e+30" in found.err
    assert [row.split()[:3] for row in found.out.splitlines()[1:3]] == [
        ["1e+30", "-", "0"],
        ["0.001", "samples", "1"],
    ]
    assert (here / "swept/lr_encoder=0.001/seed-0/navigator.safetensors").exists()
    other = copgen(*words, "--out", "swept", "--slice", "1/2")  # whose own run is finished
    assert other.code == ExitCode.DIVERGED
    assert "lr_encoder=1e+30/seed-0" in other.out
    assert "missing" not in other.err


@pytest.mark.parametrize(
    ("measure", "how", "text"),
    [
        (None, {"factor": 1.0}, ""),
        ({"mean": 20_000.0, "std": None}, {"factor": 1.0, "whole": True}, "20,000"),
        ({"mean": 64.0, "std": 0.0}, {"factor": 1.0, "whole": True}, "64 +- 0"),
        ({"mean": 0.05213, "std": 0.00121}, {"factor": 1.0}, "0.0521 +- 0.00121"),
        ({"mean": 0.785, "std": 0.01}, {"factor": 100.0}, "78.50 +- 1.00"),
    ],
)
def test_cells(measure: Any, how: dict[str, Any], text: str) -> None:
    assert cell(measure, **how) == text


def test_every_command_of_the_page_plans_a_sweep(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are resolved and checked in full; what they cost is not tried out."""
    cost = {"seconds": 1.0, "memory_bytes": 1, "disk_bytes": 1}
    cheap = {
        name: kinds.Kind(**{**vars(kind), "estimate": lambda settings: cost}) for name, kind in kinds.KINDS.items()
    }
    monkeypatch.setattr("copgen.stages.sweep.stage.KINDS", cheap)
    (here / "mine.toml").write_text("samples = 640\n")
    assert len(COMMANDS) >= 12
    for command in COMMANDS:
        ended = copgen(*shlex.split(command), "--dry-run")
        assert ended.code == 0, (command, ended.err)
        assert "to run" in ended.out


def test_the_program_of_the_page_runs(
    here: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(program.replace('{"samples": 640}', f'{{"samples": 64, "batch": 32, "weights": {str(weights)!r}}}'), {})
    assert "{'delta': 0.05} {'samples': 2}" in capsys.readouterr().out
