"""Data-parallel ranks that share a batch: collectives, and errors that are raised on all ranks.

torchrun or `--nproc` (launch.py) starts them; each reads its placement from the environment. Rank 0 writes files and
logs; the others compute. Events on a single rank (a file that cannot be written, a signal) are communicated to all of
them, as the others would wait forever for a rank that has left.

    with joined(device) as (ranks, device):
        with ranks.together():        # an error in here, on any rank, is raised on all of them
            ...
        rows = ranks.share(range(0, 176))
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from copgen.runtime.environment import Placement, check_rendezvous, placement
from copgen.runtime.errors import CopgenError, EnvironmentFault, ExitCode, UsageError
from copgen.runtime.path_errors import path_errors
from copgen.storage.state_tree import pack, unpack

FAULT = "copgen/fault"
PATIENCE = timedelta(minutes=30)  # a rank may compile, or save to a slow disk, while the others wait
POLL_S = 0.2  # between two chances for a signal while waiting for the others
AGENT_S = 5.0  # in which torchrun's agent ends a rank that has lost another one, and reports which one failed, and how


class _OfAnotherRank(CopgenError):
    """Another rank's error, of which all ranks know."""


@dataclass(frozen=True)
class Ranks:
    """This process among the ranks that share a batch; a single process by default.

    Attributes:
        rank: its rank; rank 0 writes files.
        world: the number of ranks.
        group: the process group of the collectives; None for a single process.
    """

    rank: int = 0
    world: int = 1
    group: ProcessGroup | None = None

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes files and logs."""
        return self.rank == 0

    def share(self, rows: range) -> range:
        """This rank's part of the rows, whose number must be divisible by the number of ranks."""
        each, rest = divmod(len(rows), self.world)
        assert rest == 0, (len(rows), self.world)
        return rows[self.rank * each : (self.rank + 1) * each]

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the ranks, bitwise equal on all of them; detached."""
        value = value.detach()
        if self.group is None:
            return value
        total = value.clone()
        dist.all_reduce(total, group=self.group)
        return total / self.world

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over the ranks, detached; exact where all but one rank have zeros."""
        total = value.detach().clone()
        if self.group is not None:
            dist.all_reduce(total, group=self.group)
        return total

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Replace the gradients by their means over the ranks, in one all-reduce."""
        if self.group is None:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return any(self.gathered(flag))

    def gathered(self, value: Any) -> list[Any]:
        """The JSON values of all ranks, in rank order."""
        return [value] if self.group is None else self._gather_json(value)

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block that succeeds on all ranks or on none; inside it, ranks communicate only after they `meet`.

        Raises:
            CopgenError: this rank's error, or a copy of another rank's, with the same text and exit code.
        """
        fault: CopgenError | None = None
        try:
            with path_errors():
                yield
        except _OfAnotherRank:
            raise
        except CopgenError as error:
            if self.group is None:
                raise
            fault = error
        self._tell(fault)

    def meet(self) -> None:
        """Wait for the others in a block of `together`, before they communicate there in another way.

        A rank that has left the block with an error waits at its end for the others, which would wait for it elsewhere.

        Raises:
            CopgenError: a copy of the error of a rank that has left the block.
        """
        self._tell(None)

    def _tell(self, fault: CopgenError | None) -> None:
        """Raise the error of this rank, or else a copy of another's; all ranks call this together."""
        if self.group is None:
            return
        told = self._gather_json(None if fault is None else [fault.what, fault.fix, int(fault.code)])
        if fault is not None:
            raise fault
        for other in told:
            if other is not None:
                raise _OfAnotherRank(other[0], fix=other[1], code=ExitCode(other[2]))

    def broadcast(self, tree: Any) -> Any:
        """Rank 0's tree of dictionaries and lists with tensors, numbers and strings as leaves, on the CPU."""
        if self.group is None:
            return tree
        tensors: dict[str, Tensor] = {}
        packed = pack(tree, tensors) if self.first else None
        shapes = {name: (str(value.dtype), list(value.shape)) for name, value in tensors.items()}
        packed, shapes = self._gather_json([packed, shapes])[0]
        device = self._device
        received = {}
        for name, (dtype, shape) in shapes.items():
            kind = getattr(torch, dtype.removeprefix("torch."))
            value = (
                tensors[name].to(device).contiguous() if self.first else torch.empty(shape, dtype=kind, device=device)
            )
            dist.broadcast(value, 0, group=self.group)
            received[name] = value.cpu()
        return tree if self.first else unpack(packed, received)

    @property
    def _device(self) -> torch.device:
        nccl = dist.get_backend(self.group) == "nccl"
        return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")

    def _gather_json(self, value: Any) -> list[Any]:
        """The JSON values of all ranks, in rank order."""
        own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8).to(self._device)
        lengths = torch.zeros(self.world, dtype=torch.int64, device=own.device)
        lengths[self.rank] = len(own)
        dist.all_reduce(lengths, group=self.group)
        sizes = lengths.tolist()
        gathered = own.new_zeros(self.world, max(sizes))
        gathered[self.rank, : len(own)] = own
        dist.all_reduce(gathered, group=self.group)
        return [json.loads(bytes(row[:size].tolist())) for row, size in zip(gathered, sizes, strict=True)]


def check_divides(batch: int, parts: dict[str, int]) -> None:
    """Check that the batch size is divisible by the numbers of ranks, classes, etc.

    Args:
        batch: the global batch size.
        parts: the required divisors by name ("4 ranks").

    Raises:
        UsageError: it is not; the error names the nearest batch sizes below and above that are.
    """
    wrong = [name for name, count in parts.items() if batch % count]
    if not wrong:
        return
    step = math.lcm(*parts.values())
    below = batch // step * step
    near = " or ".join(f"{near:,}" for near in (below, below + step) if near >= 2)
    raise UsageError(f"A batch of {batch:,} cannot be divided evenly among {' and '.join(wrong)}.", fix=f"Use {near}.")


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """Join the process group; yields the ranks and this process's device: `cuda` becomes that of its local rank.

    Raises:
        UsageError: an invalid placement or rendezvous; the error names the variable.
        EnvironmentFault: another rank was lost; with its error message, if it left one.
    """
    place = placement()
    if place.world == 1:
        yield Ranks(), device
        return
    check_rendezvous()
    if device.type == "cuda":
        if place.local_world > torch.cuda.device_count():
            raise EnvironmentFault(
                f"{place.local_world} processes need a CUDA device each; there are {torch.cuda.device_count()}.",
                fix="Start fewer processes, or use --device cpu.",
            )
        device = torch.device("cuda", place.local_rank)
        torch.cuda.set_device(device)
    _meet(place, device)
    group = dist.group.WORLD
    store = _shared_store()
    orderly = False
    try:
        yield Ranks(place.rank, place.world, group), device
        dist.barrier(group=group)  # no rank leaves while another still communicates with it
        orderly = True
    except CopgenError as error:
        store.set(FAULT, json.dumps([error.what, error.fix, int(error.code)]))
        raise
    except RuntimeError as error:
        if not _is_loss_of_contact(error):
            store.set(FAULT, json.dumps([f"Rank {place.rank}: {error}", "", int(ExitCode.FAULT)]))
            raise
        if (said := last_words(store)) is None:
            time.sleep(AGENT_S)
            said = EnvironmentFault(
                f"Rank {place.rank} lost contact with another.", fix="Run the same command to resume."
            )
        raise said from error
    finally:
        if orderly or device.type == "cpu":  # with pending work, NCCL would wait for a rank that is gone
            dist.destroy_process_group()


def _meet(place: Placement, device: torch.device) -> None:
    """Wait for all ranks, and connect to them.

    PyTorch waits in native code, where Python handles no signals: so it waits in another thread, and this one can be
    stopped at any time. A thread that still waits then ends with the process.
    """
    errors: list[BaseException] = []

    def connect() -> None:
        try:
            if device.type == "cuda":
                torch.cuda.set_device(device)  # is per thread
            backend = "nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, rank=place.rank, world_size=place.world, timeout=PATIENCE)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=connect, name="rendezvous", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL_S)
    if not errors:
        return
    if not isinstance(errors[0], RuntimeError):
        raise errors[0]
    time.sleep(AGENT_S)
    fault = EnvironmentFault(
        f"Rank {place.rank} could not connect to the others: {str(errors[0]).splitlines()[0].rstrip('.')}.",
        fix="Run the same command to resume.",
    )
    fault.of_one_rank = True
    raise fault from errors[0]


def _shared_store() -> Any:
    """The store that all ranks, and the process that started them, can write to."""
    store = dist.distributed_c10d._get_default_store()
    while isinstance(store, dist.distributed_c10d.PrefixStore):
        store = store.underlying_store
    return store


def last_words(store: Any) -> CopgenError | None:
    """The error that a rank wrote to the store before it exited; None if there is none."""
    if not store.check([FAULT]):
        return None
    what, fix, code = json.loads(store.get(FAULT))
    return CopgenError(what, fix=fix, code=ExitCode(code))


def _is_loss_of_contact(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()
