"""Every line of every pipeline runs on toy data; a dry run plans the same commands and writes nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.pipelines import toy
from tests.pipelines.warm import client
from tests.test_source import ROOT

PIPELINES = sorted(path for path in (ROOT / "pipelines").glob("*.sh") if path.name != "settings.sh")
COMMAND = re.compile(r"^ *copgen (?!\(\))", re.MULTILINE)
CHOICE = re.compile(r"\btransform=\(")
FIGURES = {"figure4": "seed-0-evolution.png", "figure5": "seed-0-1-evolution.png"}
STEPS = ["anchor", "0", "4", "kept"]
COLUMNS = {
    "figure4": [*STEPS, "Gaussian", "random"],
    "figure5": [*STEPS, "Gaussian", "random", "steering"],
}
FAKE = """#!/usr/bin/env python3
import os, pathlib, signal, sys, time
told = pathlib.Path(os.environ["TOLD"])

def end(code):
    told.open("a").write(f" {code}")
    sys.exit(code)

signal.signal(signal.SIGTERM, lambda *_: end(75))
signal.signal(signal.SIGUSR2, lambda *_: end(75))
signal.signal(signal.SIGHUP, lambda *_: end(129))
signal.signal(signal.SIGINT, lambda *_: end(130))
told.open("a").write(f"{os.getpid()} started")
time.sleep(60)
"""
PLACES = ("DATA", "WEIGHTS", "RUNS", "GPUS", "CONFIG")


@dataclass(frozen=True)
class Toy:
    """Toy data, and an environment in which the pipelines read it and run a `copgen` that starts at once."""

    folder: Path
    environment: dict[str, str]

    def run(self, path: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a pipeline with the number of each line on stderr; bash takes no PS4 from root's environment."""
        traced = 'PS4=\'+${BASH_SOURCE:-}:${LINENO}: \'; set -x; source "$0" "$@"'
        return subprocess.run(
            ["bash", "-c", traced, str(path), *words],
            env={**self.environment, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    folder = tmp_path_factory.mktemp("pipelines")
    toy.write(folder / "toy")
    address, program = folder / "socket", folder / "bin" / "copgen"
    program.parent.mkdir()
    program.write_text(client(address))
    program.chmod(0o755)
    known = {name: value for name, value in os.environ.items() if name not in (*PLACES, *toy.COUNTS)}
    environment = {
        **known,
        "PATH": f"{program.parent}:{known['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "COPGEN_TOY": "1",
        "TOY": str(folder / "toy"),
    }
    with subprocess.Popen([sys.executable, "-m", "tests.pipelines.warm", str(address)], env=environment) as server:
        while not address.exists():
            assert server.poll() is None
            time.sleep(0.1)
        yield Toy(folder, environment)
        server.terminate()


def commands(text: str) -> list[str]:
    """The commands in what a pipeline prints: those that ran, or those of its plan."""
    return re.findall(r"^(?:\$ )?(copgen .*)$", text, re.MULTILINE)


def lines(path: Path) -> set[int]:
    """The lines with a command, or with one of several choices."""
    text = path.read_text("utf-8").splitlines()
    return {number for number, line in enumerate(text, 1) if COMMAND.match(line) or CHOICE.search(line)}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_every_line_runs(path: Path, small: Toy) -> None:
    done = small.run(path)
    assert done.returncode == 0, done.stderr[-3000:]
    traced = re.findall(rf"^\++{re.escape(str(path))}:(\d+): ", done.stderr, re.MULTILINE)
    ran = {int(number) for number in traced}
    assert lines(path) - ran == set()
    if path.stem.startswith("figure"):
        figure = small.folder / "toy/runs" / path.stem / FIGURES[path.stem]
        with Image.open(figure) as picture:
            assert min(picture.size) > 300
        page = (figure.parent / "report.html").read_text("utf-8")
        heads = re.findall(r'<th scope="col"[^>]*>([^<]*)', page)[: len(COLUMNS[path.stem])]
        assert heads == COLUMNS[path.stem]
        return
    table = done.stdout[done.stdout.rindex("method ") :]
    if path.stem.startswith("table"):
        assert f"table {path.stem.removeprefix('table')}" in table
        assert "lr_grid" not in table  # one column for all rows


@pytest.mark.timeout(600)
def test_a_dry_run_plans_all_of_it_and_writes_nothing(small: Toy) -> None:
    path, runs = ROOT / "pipelines/table9.sh", small.folder / "planned"
    planned = small.run(path, "--dry-run", RUNS=str(runs), SEEDS="0 1", STDS="0.05")
    assert planned.returncode == 0, planned.stderr[-3000:]
    assert not runs.exists()
    assert len(commands(planned.stdout)) == 2 * (3 + 3 * 3) + 1
    costs = re.findall(r"^# (?:at most )?(.*) of disk", planned.stdout, re.MULTILINE)
    assert len(costs) == 2 * (2 + 3 * 2) + 1
    assert costs[:8] == costs[8:-1]  # of another seed


@pytest.mark.timeout(600)
def test_a_finished_pipeline_changes_nothing(small: Toy) -> None:
    path, runs = ROOT / "pipelines/quickstart.sh", small.folder / "twice"
    assert small.run(path, RUNS=str(runs)).returncode == 0
    files = [*runs.rglob("*.safetensors"), runs / "pretrain/eval/linear/results.json"]
    written = {file: file.stat().st_mtime_ns for file in files}
    assert len(written) >= 3
    again = small.run(path, RUNS=str(runs))
    assert again.returncode == 0
    assert "already finished" in again.stderr
    assert {file: file.stat().st_mtime_ns for file in written} == written
    left = small.run(path, "--dry-run", RUNS=str(runs))
    assert left.returncode == 0
    assert re.findall(r"^# (.*)$", left.stdout, re.MULTILINE)[:-1] == ["finished", "0 s, 0 MB of disk", "finished"]


@pytest.mark.parametrize("words", [("--dryrun",), ("--dry-run", "now")])
def test_other_words_are_refused(words: tuple[str, ...], small: Toy) -> None:
    assert small.run(ROOT / "pipelines/table9.sh", *words).returncode == 2


def test_a_command_that_fails_ends_the_pipeline_with_its_code(small: Toy) -> None:
    done = small.run(ROOT / "pipelines/table7.sh", WEIGHTS=str(small.folder / "empty"), RUNS=str(small.folder / "none"))
    assert done.returncode == 4
    assert "BigBiGAN_x1.pth" in done.stderr


def test_a_plan_says_what_cannot_run_and_goes_on(small: Toy) -> None:
    places = {"WEIGHTS": str(small.folder / "empty"), "RUNS": str(small.folder / "none")}
    planned = small.run(ROOT / "pipelines/table9.sh", "--dry-run", STDS="0.05", **places)
    assert planned.returncode == 4
    assert "mnist_resflow_16-16-16.pth" in planned.stderr
    assert len(commands(planned.stdout)) == 3 + 3 * 3 + 1


@pytest.mark.parametrize(
    "path", [path for path in PIPELINES if "PAIRS=" in path.read_text()], ids=lambda path: path.stem
)
def test_a_trial_with_fewer_pairs_is_not_in_the_way(path: Path, tmp_path: Path) -> None:
    """The folder of an encoder is that of one command: with other pairs, `copgen pretrain` would refuse it."""
    if path.stem == "quickstart":
        pytest.skip("a trial itself")
    program, told = tmp_path / "bin" / "copgen", tmp_path / "told"
    program.parent.mkdir()
    program.write_text('#!/usr/bin/env bash\necho "$*" >> "$TOLD"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "TOLD": str(told), "SEEDS": "0"}
    of_folder: dict[str, set[str]] = {}
    for pairs in ("10k", "1.3M"):
        subprocess.run([path], env={**environment, "PAIRS": pairs}, cwd=tmp_path, check=True, capture_output=True)
    for line in told.read_text().splitlines():
        if line.startswith("pretrain"):
            of_folder.setdefault(line.rpartition(" --out ")[2], set()).add(line)
    assert of_folder
    assert [folder for folder, different in of_folder.items() if len(different) > 1] == []


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A pipeline whose command only waits, and the file where this tells of itself."""
    program, told = folder / "bin" / "copgen", folder / "told"
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "TOLD": str(told)}
    with subprocess.Popen([ROOT / "pipelines/quickstart.sh"], env=environment, cwd=folder) as script:
        try:
            until(lambda: script.poll() is not None or (told.exists() and told.read_text().endswith("started")))
            yield script, told
        finally:
            script.send_signal(signal.SIGCONT)
            script.terminate()


def until(happened: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.02)


def state_of(process: int) -> str:
    """The letter of the kernel: T is stopped."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize(
    ("received", "code"),
    [(signal.SIGTERM, 75), (signal.SIGUSR2, 75), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
)
def test_a_signal_reaches_the_command_that_runs(received: signal.Signals, code: int, tmp_path: Path) -> None:
    with running(tmp_path) as (script, told):
        script.send_signal(received)
        assert script.wait(30) == code
    assert told.read_text().split()[1:] == ["started", str(code)]  # it ended by itself, and no other was started


def test_it_is_suspended_with_the_command_that_runs(tmp_path: Path) -> None:
    with running(tmp_path) as (script, told):
        both = (script.pid, int(told.read_text().split()[0]))
        script.send_signal(signal.SIGTSTP)
        until(lambda: all(state_of(process) == "T" for process in both))
        script.send_signal(signal.SIGCONT)
        until(lambda: all(state_of(process) != "T" for process in both))
        script.terminate()
        assert script.wait(30) == 75


def test_a_toy_that_is_not_there_is_named(tmp_path: Path) -> None:
    environment = {**os.environ, "COPGEN_TOY": "1", "TOY": str(tmp_path)}
    done = subprocess.run([ROOT / "pipelines/table9.sh"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{tmp_path}/variables.sh" in done.stderr


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_it_can_be_executed(path: Path) -> None:
    assert os.access(path, os.X_OK)
    assert path.read_text("utf-8").startswith("#!/usr/bin/env bash\n")


def test_shellcheck_finds_nothing() -> None:
    program = Path(sys.executable).with_name("shellcheck")
    scripts = sorted(map(str, (ROOT / "pipelines").glob("*.sh")))
    done = subprocess.run(
        [program, "--external-sources", "--source-path=SCRIPTDIR", *scripts], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
