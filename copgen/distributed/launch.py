"""`--nproc N`: starts torchrun's agent in this process, which runs N ranks of a command on this machine.

The agent (torch.distributed.launcher) starts the ranks, watches them, passes signals on and ends them all when one has
failed. What it leaves to be wished is mended here and in rank_process.py: it tells of a failure in its own words and
ends with 1, whereas here the first rank has the word, and its exit code is that of the command.
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

from copgen.runtime.errors import CopgenError, EnvironmentFault
from copgen.runtime.signals import EXIT_CODES

HERE = "127.0.0.1"
SAVING_S = 30 * 60  # for the ranks to save once a signal came; an update alone may take longer than the agent's 30 s


def launch(module: str, arguments: Sequence[str], ranks: int) -> int:
    """Run `main(arguments)` of a module in several ranks; the first one speaks. Returns its exit code.

    Raises:
        CopgenError: the first rank could not say what happened: the fault that another left, that one was killed, or
            that a signal ended them before they had saved.
    """
    from copgen.distributed.rank_process import ending
    from copgen.distributed.ranks import last_words

    store = shared_store()  # the agent and the ranks use it too
    with tempfile.TemporaryDirectory(prefix="copgen-ranks-") as folder:
        fault = _run(["-m", "copgen.distributed.rank_process", folder, module, *arguments], ranks, port=store.port)
        said = ending(Path(folder), rank=0)
    if said is None:
        assert fault is not None
        raise last_words(store) or fault
    return said


def shared_store() -> Any:
    """A store that this process serves, on a port that was free and is taken before anybody hears of it.

    Who opens the same port in this process gets the same store. For that torch remembers its stores by their port, and
    does not forget one that has gone: with port 0, a port that an earlier store had once leaves the new one unknown
    (torch 2.14). Asked for by number it is remembered afresh.
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
    """Python with these words in every rank, to the end; what is to be said of it if the first rank says nothing."""
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
            # The agent would put a rank's number in the place of ${local_rank}.
            elastic_launch(config, sys.executable)(*(word.replace("$", "$$") for word in words))
    except SignalException as error:
        name, code = signal.Signals(error.sigval).name, EXIT_CODES[error.sigval]
        said = f"{name} ended the ranks before they had saved their state."
        return CopgenError(said, fix="The same command goes on from the last checkpoint.", code=code)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        ended = failure.exitcode
        how = f"was ended by {signal.Signals(-ended).name}" if ended < 0 else f"ended with code {ended}"
        return EnvironmentFault(f"Rank {rank} {how}.", fix="The same command goes on.")
    return None


def _patience(config: type) -> dict[str, Any]:
    """The time to save as a setting of the agent; older ones have none, and give the ranks 30 seconds."""
    known = {field.name for field in dataclasses.fields(config)}
    return {"shutdown_timeout": SAVING_S} if "shutdown_timeout" in known else {}


@contextmanager
def _agents_manners() -> Iterator[None]:
    """The agent sets signal handlers, which stay, and logs what the first rank says better."""
    handlers = {number: signal.getsignal(number) for number in EXIT_CODES}
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        for number, handler in handlers.items():
            signal.signal(number, handler)
