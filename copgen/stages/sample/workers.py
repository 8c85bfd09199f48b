"""`sample --workers N`: N processes on this machine write one folder; this process waits and reports their progress.

Each is an ordinary worker (worker_process.py): it claims shards, and if one dies, the others take over its shards.
They report progress as lines of JSON on standard output.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from copgen.distributed.children import end_with_parent, run_module
from copgen.runtime.environment import worker_variables
from copgen.runtime.errors import CopgenError, EnvironmentFault, ExitCode
from copgen.runtime.events import Events
from copgen.runtime.signals import StopRequest
from copgen.stages.sample.shards import Note

COMMAND = (sys.executable, *run_module("copgen.stages.sample.worker_process"))
PAUSE_S = 0.1


class Worker:
    """One process, with its messages so far."""

    def __init__(self, number: int, task: dict[str, Any], command: Sequence[str]) -> None:
        self.number = number
        self.error: CopgenError | None = None
        self._rest = b""
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=worker_variables(threads=task["threads"]),
            start_new_session=True,  # Ctrl-C reaches only this process, which forwards it
            preexec_fn=end_with_parent,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.output = self.process.stdout
        os.set_blocking(self.output.fileno(), False)
        try:
            self.process.stdin.write(json.dumps(task).encode())
            self.process.stdin.close()
        except BrokenPipeError:  # it is dead already; its exit code is reported later
            pass

    def said(self) -> Iterator[dict[str, Any]]:
        """Its messages since the last call."""
        while data := self._read():
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from map(json.loads, lines)

    def _read(self) -> bytes | None:
        try:
            return os.read(self.output.fileno(), 2**16)
        except BlockingIOError:
            return None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is alive."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    @property
    def end(self) -> str:
        """A sentence on how it ended."""
        code = self.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        return f"Worker {self.number} {how}"


def run_workers(
    tasks: Sequence[dict[str, Any]],
    *,
    note: Note,
    events: Events,
    stop: StopRequest,
    command: Sequence[str] = COMMAND,
) -> None:
    """Run a worker for each task until all have ended.

    Args:
        tasks: inputs of `copgen.stages.sample.worker_process`.
        note: receives the progress of each shard.
        events: receives warnings about workers that died.
        stop: a signal is forwarded to the workers, which are then waited for.
        command: starts a worker, which reads its task from standard input.

    Raises:
        Stopped: a signal arrived; finished shards are kept.
        CopgenError: the error of one worker; the others were stopped.
        EnvironmentFault: all of them died.
    """
    with _started(tasks, stop, command) as workers, selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.output, selectors.EVENT_READ, worker)
        running, forwarded = list(workers), False
        while running:
            if stop.received and not forwarded:
                forwarded = True
                for worker in running:
                    worker.send(stop.received)
            selector.select(PAUSE_S)
            for worker in list(running):
                ended = worker.process.poll() is not None  # checked before its last messages are read
                for words in worker.said():
                    _hear(worker, words, note=note, events=events)
                if not ended:
                    continue
                running.remove(worker)
                selector.unregister(worker.output)
                if worker.error is not None and worker.error.code != ExitCode.STOPPED:
                    for other in running:
                        other.send(signal.SIGTERM)
                elif worker.process.returncode != 0 and running and not forwarded:
                    events.warn(f"{worker.end}; the others take over its work.")
    _judge(workers, stop)


def _hear(worker: Worker, words: dict[str, Any], *, note: Note, events: Events) -> None:
    if "shard" in words:
        note(words["shard"], words["pairs"])
    elif "warning" in words:
        events.warn(words["warning"])
    else:
        known = words["error"]
        worker.error = CopgenError(known["what"], fix=known["fix"], code=ExitCode(known["code"]))


def _judge(workers: Sequence[Worker], stop: StopRequest) -> None:
    """Raise the reason why no worker finished; does nothing if one did, since then no shard is left."""
    found = [worker.error for worker in workers if worker.error is not None]
    for error in found:
        if error.code not in (ExitCode.STOPPED, ExitCode.INTERRUPTED):
            raise error
    if any(worker.process.returncode == 0 for worker in workers):
        return
    if stop.received:
        raise stop.stopped("with all its workers; finished shards are kept")
    if found:
        raise found[0]
    raise EnvironmentFault(
        f"All workers failed: {workers[0].end}.",
        fix="Run the same command to resume; fewer --workers need less memory.",
    )


@contextmanager
def _started(tasks: Sequence[dict[str, Any]], stop: StopRequest, command: Sequence[str]) -> Iterator[list[Worker]]:
    workers: list[Worker] = []
    try:
        for number, task in enumerate(tasks):
            if not stop.received:
                workers.append(Worker(number, task, command))
        yield workers
    finally:
        for worker in workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()
            worker.output.close()
