"""Workers of `sample` that are killed, stopped, or short of disk: `python -m tests.stages.under_fire WHAT JSON`.

One process loads everything once and forks its workers, so that hundreds of them may die in a minute. It prints what it
saw as one JSON document.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from copgen.distributed.slices import ShardSlice
from copgen.runtime.errors import CopgenError, ExitCode
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample


def fork(settings: SampleSettings, out: Path, part: ShardSlice, before: Callable[[], None] = lambda: None) -> int:
    """A process that runs `sample` as one worker; its exit code is that of the command."""
    if process := os.fork():
        return process
    code = 1
    # A worker that is stopped before it has begun, or when it has ended, has nothing to save.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(ExitCode.STOPPED))
    try:
        before()
        sample(settings, out=out, part=part)
        code = 0
    except CopgenError as error:
        code = int(error.code)
        print(error, file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def reap(crew: dict[int, int]) -> dict[int, int]:
    """Take the dead out of the crew (process -> number of the worker): number -> exit code, negative for a signal."""
    found = {}
    for process in list(crew):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            found[crew.pop(process)] = os.waitstatus_to_exitcode(status)
    return found


def wait(crew: dict[int, int]) -> list[int]:
    """The exit codes of all."""
    codes: list[int] = []
    while crew:
        codes += reap(crew).values()
        time.sleep(0.005)
    return codes


def kills(settings: SampleSettings, out: Path, *, workers: int, kills: int, seconds: float, seed: int) -> Any:
    """One job whose workers are killed at random and replaced; one kill in ten takes all of them at once."""
    draw, done, finished = random.Random(seed), 0, False
    crew: dict[int, int] = {}
    failures: list[int] = []
    while not finished or crew:
        for number in range(workers if not finished else 0):
            if number not in crew.values():
                crew[fork(settings, out, ShardSlice(number, workers))] = number
        if done < kills and not finished:
            time.sleep(draw.uniform(0, seconds))
            victims = list(crew) if draw.random() < 0.1 else [draw.choice(list(crew))]
            for process in victims:
                os.kill(process, signal.SIGKILL)
            done += len(victims)
        else:
            time.sleep(0.01)
        codes = reap(crew).values()
        failures += [code for code in codes if code not in (0, -signal.SIGKILL)]
        finished = finished or 0 in codes
        if len(failures) > 3:
            break
    return {"kills": done, "failures": failures}


def counts(settings: SampleSettings, out: Path, *, jobs: list[dict[str, Any]]) -> Any:
    """For each job the exit codes of its crews."""
    return [
        {"codes": crew_after_crew(settings, out / job["place"], crews=job["crews"], shards=job["shards"])}
        for job in jobs
    ]


def crew_after_crew(settings: SampleSettings, out: Path, *, crews: list[int], shards: list[int]) -> list[list[int]]:
    """Crews one after the other over one folder; each but the last is stopped once so many shards are there."""
    codes = []
    for workers, until in zip(crews, [*shards, None], strict=True):
        crew = {fork(settings, out, ShardSlice(number, workers)): number for number in range(workers)}
        while until is not None and len(list((out / "records").glob("*.json"))) < until:
            time.sleep(0.002)
        if until is not None:
            for process in crew:
                os.kill(process, signal.SIGTERM)
        codes.append(sorted(wait(crew)))
    return codes


def full(settings: SampleSettings, out: Path, *, limits: list[int]) -> Any:
    """For each limit on the size of files: the exit code under it, what stands at final names, and the way on."""
    found = []
    for limit in limits:
        place = out / f"limit-{limit}"

        def short(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        codes = wait({fork(settings, place, ShardSlice(), short): 0})
        left = hashes(place)
        codes += wait({fork(settings, place, ShardSlice()): 0})
        found.append({"limit": limit, "codes": codes, "left": left, "end": hashes(place)})
    return found


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a folder, by its name in it."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def main(what: str, how: str) -> None:
    torch.set_num_threads(1)
    task = json.loads(how)
    settings, out = SampleSettings.model_validate(task.pop("settings")), Path(task.pop("out"))
    does: dict[str, Callable[..., Any]] = {"kills": kills, "counts": counts, "full": full}
    print(json.dumps(does[what](settings, out, **task)))


if __name__ == "__main__":
    main(*sys.argv[1:])
