"""`--nproc N`: runs torchrun's agent in this process, which starts N ranks of a command on this machine.

The agent (torch.distributed.launcher) starts and monitors the ranks, forwards signals and terminates all ranks when one
fails. It would report failures itself and exit with 1; this module and rank_process.py let rank 0 report them, and
return its exit code.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from copgen.distributed.children import run_module
from copgen.runtime.errors import CopgenError, EnvironmentFault
from copgen.runtime.signals import EXIT_CODES

HERE = "127.0.0.1"
SAVING_S = 30 * 60  # for the ranks to save after a signal; an update may take longer than the agent's default of 30 s


def launch(module: str, arguments: Sequence[str], ranks: int) -> int:
    """Run `main(arguments)` of a module in several ranks; rank 0 logs. Returns its exit code.

    Raises:
        CopgenError: rank 0 could not report the failure itself: another rank failed or was killed, or a signal ended
            the ranks before they had saved.
    """
    from copgen.distributed.rank_process import ending
    from copgen.distributed.ranks import last_words

    store = shared_store()  # the agent and the ranks use it too
    with tempfile.TemporaryDirectory(prefix="copgen-ranks-") as folder:
        words = [*run_module("copgen.distributed.rank_process"), folder, module, *arguments]
        fault = _run(words, ranks, port=store.port)
        code = ending(Path(folder), rank=0)
    if code is None:
        assert fault is not None
        raise last_words(store) or fault
    return code


def shared_store() -> Any:
    """A store that this process serves, on a free port that is bound before it is announced.

    torch caches stores by port within a process, including those that no longer exist: with port 0, reusing the port of
    an earlier store leaves the new one unknown to the cache (torch 2.14). Passing the port explicitly registers it.
    """
    import torch.distributed

    distributed: Any = torch.distributed  # exports it untyped
    listener = socket.create_server((HERE, 0))
    port = listener.getsockname()[1]
    return distributed.TCPStore(
        HERE,
        port,
        is_master=True,
        wait_for_workers=False,
        multi_tenant=True,
        master_listen_fd=listener.detach(),
    )


def _run(words: Sequence[str], ranks: int, *, port: int) -> CopgenError | None:
    """Run Python with these arguments in every rank; returns the error to raise if rank 0 reported none."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id="copgen",
        rdzv_backend="static",
        rdzv_endpoint=f"{HERE}:{port}",
        rdzv_configs={"rank": 0},
        local_addr=HERE,
        max_restarts=0,
        signals_to_handle=",".join(number.name for number in EXIT_CODES),
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
        **_patience(LaunchConfig),
    )
    try:
        with _agents_manners():
            # The agent would substitute ${local_rank}.
            elastic_launch(config, sys.executable)(*(word.replace("$", "$$") for word in words))
    except SignalException as error:
        name, code = signal.Signals(error.sigval).name, EXIT_CODES[error.sigval]
        what = f"{name} ended the ranks before they had saved their state."
        return CopgenError(what, fix="Run the same command to resume from the last checkpoint.", code=code)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        ended = failure.exitcode
        how = f"was ended by {signal.Signals(-ended).name}" if ended < 0 else f"ended with code {ended}"
        return EnvironmentFault(f"Rank {rank} {how}.", fix="Run the same command to resume.")
    return None


def _patience(config: type) -> dict[str, Any]:
    """The agent's setting for the time to save; older versions have none and use 30 seconds."""
    known = {field.name for field in dataclasses.fields(config)}
    return {"shutdown_timeout": SAVING_S} if "shutdown_timeout" in known else {}


@contextmanager
def _agents_manners() -> Iterator[None]:
    """Restore the signal handlers that the agent replaces, and silence its logs, as rank 0 reports failures."""
    handlers = {number: signal.getsignal(number) for number in EXIT_CODES}
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        for number, handler in handlers.items():
            signal.signal(number, handler)
