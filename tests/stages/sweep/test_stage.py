"""Sweeps run, resume, share their runs, and refuse what does not fit."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from copgen.distributed.slices import ShardSlice
from copgen.runtime.errors import CopgenError, DataError, Diverged, EnvironmentFault, ExitCode, Stopped, UsageError
from copgen.stages.sweep.stage import checked, estimate, sweep
from copgen.storage.files import sha256_of
from copgen.storage.lock import LOCK
from tests.report.comparison import made as results
from tests.stages.small import At, Recorder, files, navigate_settings, send
from tests.stages.sweep.sweeping import NAMES, of, running

TOP1 = "linear (sgd, best test epoch), mnist: Top-1 %"


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, flow: Path) -> Path:
    """A finished sweep."""
    folder = tmp_path_factory.mktemp("sweep") / "straight"
    sweep(of(flow), out=folder)
    return folder


def test_every_run_has_a_folder_and_the_table_their_mean(straight: Path) -> None:
    document = json.loads((straight / "summary.json").read_text())
    assert [run["name"] for run in document["runs"]] == NAMES
    assert document["missing"] == document["failed"] == []
    for run in document["runs"]:
        assert json.loads((straight / run["name"] / "summary.json").read_text()) == run["summary"]
    found = [run["summary"]["shift"]["d_mean"] for run in document["runs"][:2]]
    row = document["rows"][0]
    assert (row["values"], row["seeds"], row["ended_by"]) == ({"delta": 0.4}, [0, 1], {"samples": 2})
    assert row["measures"]["shift.d_mean"] == {
        "mean": pytest.approx(mean(found)),
        "std": pytest.approx(stdev(found)),
        "n": 2,
    }


def test_the_same_call_keeps_finished_runs_and_adds_others(straight: Path, flow: Path, tmp_path: Path) -> None:
    shutil.copytree(straight, tmp_path / "s")
    before = files(tmp_path / "s")
    events = Recorder()
    sweep(of(flow), out=tmp_path / "s", events=events)
    assert events.tasks == []
    assert files(tmp_path / "s") == before
    more = of(flow, values={"delta": (0.3, 0.4, 0.5)}, seeds=3)
    document = sweep(more, out=tmp_path / "s", events=events)
    assert len(events.tasks) == 9 - 4
    assert [row["values"]["delta"] for row in document["rows"]] == [0.3, 0.4, 0.5]
    assert {name: content for name, content in files(tmp_path / "s").items() if name in before and "/" in name} == {
        name: content for name, content in before.items() if "/" in name
    }


def test_a_stopped_sweep_resumes_with_the_same_runs(straight: Path, flow: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped) as caught:
        sweep(of(flow), out=tmp_path, events=At(24, partial(send, signal.SIGTERM)))
    assert caught.value.code == ExitCode.STOPPED
    shutil.copytree(straight / NAMES[2], tmp_path / NAMES[2])
    events = Recorder()
    sweep(of(flow), out=tmp_path, events=events)
    assert [done for _, _, _, done in events.tasks] == [24, 0, 0]
    for name in NAMES:
        artefact = f"{name}/navigator.safetensors"
        assert (tmp_path / artefact).read_bytes() == (straight / artefact).read_bytes()


def test_slices_share_the_runs_and_the_last_one_has_the_table(straight: Path, flow: Path, tmp_path: Path) -> None:
    first = sweep(of(flow), out=tmp_path, part=ShardSlice(1, 3))
    assert [run["name"] for run in first["runs"] if run["summary"]] == [NAMES[1]]
    assert first["missing"] == [NAMES[0], NAMES[2], NAMES[3]]
    for index in (0, 2):
        last = sweep(of(flow), out=tmp_path, part=ShardSlice(index, 3))
    assert last == json.loads((straight / "summary.json").read_text())


def test_the_slice_is_read_from_an_array_job(flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ID": "3", "MIN": "2", "COUNT": "4"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    found = sweep(of(flow), out=tmp_path)
    assert [run["name"] for run in found["runs"] if run["summary"]] == [NAMES[1]]


def test_the_files_of_all_slices_are_written_under_a_lock(
    flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slices that start or end together would take each other's half-written files away."""
    rename, alone = os.replace, {}

    def watched(source: Path, target: Path) -> None:
        if target.parent == tmp_path:
            alone[target.name] = (tmp_path / LOCK).exists()
        rename(source, target)

    monkeypatch.setattr("copgen.storage.files.os.replace", watched)
    running(monkeypatch, failing={0.4: Diverged("The loss is nan.")})
    sweep(of(flow, seeds=1), out=tmp_path)
    assert alone == {"sweep.json": True, "failures.json": True, "summary.json": True}


def test_of_two_sweeps_that_start_together_one_is_refused(
    straight: Path, flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_comes_another(*given: Any, **how: Any) -> Any:
        found = checked(*given, **how)
        (tmp_path / "s").mkdir()
        shutil.copyfile(straight / "sweep.json", tmp_path / "s" / "sweep.json")
        return found

    monkeypatch.setattr("copgen.stages.sweep.stage.checked", first_comes_another)
    with pytest.raises(UsageError, match="seed-1"):
        sweep(of(flow, seeds=1), out=tmp_path / "s")
    assert (tmp_path / "s" / "sweep.json").read_bytes() == (straight / "sweep.json").read_bytes()
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["sweep.json"]


def test_evaluations_below_a_run_are_in_its_row(straight: Path, flow: Path, tmp_path: Path) -> None:
    shutil.copytree(straight, tmp_path / "s")
    for seed, top1 in ((0, 0.9), (1, 0.92)):
        results.written(tmp_path / "s" / f"delta=0.4/seed-{seed}/eval", results.made_by(), top1=top1)
    found = sweep(of(flow), out=tmp_path / "s")
    assert found["rows"][0]["measures"][TOP1]["mean"] == pytest.approx(91.0)
    assert TOP1 not in found["rows"][1]["measures"]


@pytest.mark.parametrize("other", [{"protocol": "authors"}, {"dataset": "digits"}])
def test_evaluations_of_other_data_or_protocols_have_no_common_mean(
    straight: Path, flow: Path, tmp_path: Path, other: dict[str, Any]
) -> None:
    shutil.copytree(straight, tmp_path / "s")
    usual = {"protocol": "validation", "dataset": "mnist"}
    for name, top1, how in zip(NAMES, (0.9, 0.5, 0.8, 0.82), (usual, usual | other, usual, usual), strict=True):
        results.written(tmp_path / "s" / name / "eval/linear", results.made_by(), top1=top1, **how)
    events = Recorder()
    found = sweep(of(flow), out=tmp_path / "s", events=events)
    mixed, whole = ([name for name in row["measures"] if "Top-1" in name] for row in found["rows"])
    assert mixed == []
    assert [found["rows"][1]["measures"][name]["mean"] for name in whole] == [pytest.approx(81.0)]
    assert len(found["rows"][0]["incomplete"]) == len(events.sentences) == 2
    for (setting, value), told in zip((usual | other).items(), ("validation", "mnist"), strict=True):
        assert setting not in other or any(value in name for name in found["rows"][0]["incomplete"])
        assert setting not in other or told in whole[0]


def test_evaluations_of_an_encoder_that_was_replaced_are_left_out(straight: Path, flow: Path, tmp_path: Path) -> None:
    shutil.copytree(straight, tmp_path / "s")
    for name in NAMES:
        path = results.written(tmp_path / "s" / name / "eval/linear", results.made_by(), top1=0.9)
        now = results.made_by(lr=0.1) if name in NAMES[:1] else results.made_by()
        encoder = repr(sorted(now.items())).encode()  # its sha256 is that in the results of `now`
        (path.parents[1] / "encoder.safetensors").write_bytes(encoder)
    events = Recorder()
    found = sweep(of(flow), out=tmp_path / "s", events=events)
    assert found["stale"] == [f"{NAMES[0]}/eval/linear/results.json"]
    assert any(found["stale"][0] in sentence for sentence in events.sentences)
    assert TOP1 not in found["rows"][0]["measures"]
    assert found["rows"][1]["measures"][TOP1]["n"] == 2


def of_pairs(navigator: str) -> dict[str, Any]:
    """The part of the results of `eval pairs` that is compared."""
    transform = {"name": "optimal", "settings": {}, "sha256": navigator}
    provenance = {"transform": transform, "navigator": {"stage": "navigate", "settings": {}}}
    return {"kind": "pairs", "labels": {"agreement": 0.9}, "provenance": provenance}


def of_generator(navigator: str) -> dict[str, Any]:
    """That of `eval generator`."""
    scores = {"positives": {"pixels": {"precision": {"mean": 0.9}}}}
    return {"kind": "generator", "scores": scores, "provenance": {"navigator": navigator}}


@pytest.mark.parametrize(("evaluation", "measure"), [(of_pairs, "label agreement"), (of_generator, "precision")])
def test_pairs_of_a_navigator_that_was_replaced_are_left_out(
    evaluation: Callable[[str], dict[str, Any]], measure: str, straight: Path, flow: Path, tmp_path: Path
) -> None:
    shutil.copytree(straight, tmp_path / "s")
    digests = [sha256_of(tmp_path / "s" / name / "navigator.safetensors") for name in NAMES]
    for name, digest in zip(NAMES, ["0" * 64, *digests[1:]], strict=True):
        results.written(tmp_path / "s" / name / "pairs-health", results.made_by(), **evaluation(digest))
    found = sweep(of(flow), out=tmp_path / "s")
    assert found["stale"] == [f"{NAMES[0]}/pairs-health/results.json"]
    counted = [[name for name in row["measures"] if measure in name] for row in found["rows"]]
    assert [len(names) for names in counted] == [0, 1]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"values": {"delta": (0.4,)}}, "delta=0.5/seed-0"),
        ({"seeds": 1}, "seed-1"),
        ({"values": {"temperature": (0.1, 0.2)}}, "swept"),
        ({"settings": {"temperature": 0.3}}, "temperature: 0.1 -> 0.3"),
    ],
)
def test_another_sweep_is_refused_with_the_difference(
    straight: Path, flow: Path, given: dict[str, Any], says: str
) -> None:
    before = files(straight)
    settings = {**navigate_settings(flow).tree(), **given.get("settings", {})}
    with pytest.raises(UsageError, match=says.replace(".", r"\.")):
        sweep(of(flow, **{**given, "settings": settings}), out=straight)
    assert files(straight) == before


def test_a_run_with_other_settings_is_refused_before_any_starts(straight: Path, flow: Path, tmp_path: Path) -> None:
    sweep(of(flow), out=tmp_path, part=ShardSlice(0, 4))
    config = tmp_path / NAMES[0] / "config.toml"
    config.write_text(config.read_text().replace("temperature = 0.1", "temperature = 0.2"))
    with pytest.raises(UsageError, match=r"temperature: 0\.2 -> 0\.1"):
        sweep(of(flow), out=tmp_path)
    assert not (tmp_path / NAMES[1]).exists()
    sweep(of(flow), out=tmp_path, overwrite=True, part=ShardSlice(0, 1))
    assert (tmp_path / NAMES[3] / "navigator.safetensors").exists()


def test_what_no_run_can_work_with_is_refused_before_any_starts(flow: Path, tmp_path: Path) -> None:
    for values in ({"views": ("mnist", "mnits")}, {"encoder": ("digits", "resnet81")}, {"generator": ("digts",)}):
        with pytest.raises(UsageError, match="Did you mean"):
            sweep(of(flow, values=values), out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_folders_of_other_things_are_refused(flow: Path, straight: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(EnvironmentFault, match=r"thesis\.tex"):
        sweep(of(flow), out=tmp_path)
    with pytest.raises(EnvironmentFault, match="sweep"):
        sweep(of(flow), out=straight / NAMES[0], overwrite=True)
    shutil.copytree(straight, tmp_path / "s")
    (tmp_path / "s" / "sweep.json").write_text("[1]")
    with pytest.raises(DataError, match=r"sweep\.json"):
        sweep(of(flow), out=tmp_path / "s")


@pytest.mark.parametrize(
    ("variables", "how", "says"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, {}, "torchrun"),
        ({"JOB_COMPLETION_INDEX": "1"}, {}, "--slice"),
        ({}, {"part": ShardSlice(0, 2), "overwrite": True}, "--overwrite"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    flow: Path,
    tmp_path: Path,
    variables: dict[str, str],
    how: dict[str, Any],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for call in (sweep, estimate):
        with pytest.raises(CopgenError, match=says) as caught:
            call(of(flow), out=tmp_path / "s", **how)
        assert caught.value.code == ExitCode.USAGE
    assert not (tmp_path / "s").exists()


def test_the_estimate_is_of_what_is_missing(straight: Path, flow: Path, tmp_path: Path) -> None:
    events = Recorder()
    plan = estimate(of(flow), out=straight, events=events)
    assert (plan["runs"], plan["missing"], plan["seconds"], events.sentences) == (NAMES, [], 0, [])
    plan = estimate(of(flow), out=tmp_path / "s", part=ShardSlice(0, 2), events=events)
    assert plan["missing"] == plan["own"] == [NAMES[0], NAMES[2]]
    assert plan["seconds"] > 0
    assert plan["disk_bytes"] > 0
    assert len(events.sentences) == 1  # both cost the same
    assert not (tmp_path / "s").exists()
