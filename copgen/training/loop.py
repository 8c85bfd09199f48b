"""The part of a training loop that is not science: resume, checkpoints, metrics, signals, progress.

    with Training(run, state={"f": f, "optimizer": optimizer}, updates=1000, samples_per_update=128, ...) as training:
        for update in training:
            ...
            training.check_finite(update, loss=loss)
            optimizer.step()
            training.log(update, {"loss": loss.item()})

Iteration starts after the newest checkpoint. Between two updates it saves when it is due and leaves in good order when
a signal has come. As all random numbers depend on (seed, index) alone, a resumed run equals a straight one bit by bit.

A stage that reads its figures from the device only now and then gives `settle`, which is called before anything is
saved: it logs what is still unread, and may find that the run is over, or was some updates ago.

Of several ranks the first has the run folder; the others get what it reads, and stop when any of them has a signal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor

from copgen.distributed.ranks import Ranks
from copgen.runtime.errors import Diverged
from copgen.runtime.events import Events
from copgen.runtime.signals import StopRequest
from copgen.storage.state_tree import pack
from copgen.training.run_folder import Metrics, RunFolder


def _restore_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give the moments the memory layout of their parameters, so that the same kernels run as before the stop."""
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


class Stateful(Protocol):
    """Modules, optimizers and schedulers, and whatever else has a state to restore."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Training:
    """An iteration over update numbers 0 .. updates - 1 of a run folder; use it as a context.

    Raises:
        Stopped: a signal came; the state after the current update is saved.
        Diverged: the state to be saved is not finite; the checkpoints on disk stay as they are.
    """

    def __init__(
        self,
        run: RunFolder,
        *,
        state: Mapping[str, Stateful],
        updates: int,
        samples_per_update: int,
        checkpoint_every: int,
        events: Events,
        title: str,
        settle: Callable[[], None] | None = None,
        ranks: Ranks | None = None,
        agree_every: int = 1,
    ) -> None:
        """Some of the arguments:

        Args:
            settle: reads and logs what is still on the device.
            ranks: the processes that share the updates; one alone by default.
            agree_every: updates between two exchanges of the ranks on whether a signal came, which wait for the device.
        """
        self.run = run
        self.state = state
        self.updates = updates
        self.samples_per_update = samples_per_update
        self.checkpoint_every = checkpoint_every
        self.events = events
        self.title = title
        self.done = 0
        self.ended_early = ""  # why, when it did
        self._settle = settle or (lambda: None)
        self._ranks = ranks or Ranks()
        self._agree_every = agree_every
        self._metrics: Metrics | None = None
        self._stop = StopRequest()

    def __enter__(self) -> Training:
        saved = None
        with self._ranks.together():
            if self._ranks.first:
                saved = self.run.checkpoints.newest(self.events)
        saved = self._ranks.broadcast(saved)
        if saved is not None:
            self.done = int(saved["update"])
            self.ended_early = str(saved.get("ended_early", ""))
            for name, part in self.state.items():
                part.load_state_dict(saved["state"][name])
                if isinstance(part, torch.optim.Optimizer):
                    _restore_layout(part)
            self.events.say(f"Going on from update {self.done:,} of {self.updates:,} in {self.run.path}.")
        with self._ranks.together():
            if self._ranks.first:
                self._metrics = Metrics(self.run.path / "metrics.jsonl", update=self.done)
        self._stop.__enter__()
        unit = self.samples_per_update
        self.events.begin(self.title, total=self.updates * unit, unit="samples", done=self.done * unit)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.__exit__(kind, error, trace)
        self.events.end()
        if self._metrics is not None:
            self._metrics.close()

    def __iter__(self) -> Iterator[int]:
        self._started = time.monotonic()
        if self.ended_early:  # the checkpoint is of a run whose end was decided, but not yet written
            return
        for update in range(self.done, self.updates):
            yield update
            if not self.ended_early:
                self.done = update + 1
            due = self.done == self.updates or bool(self.ended_early) or (update + 1) % self.checkpoint_every == 0
            stop = self._asked_to_stop(update, due)
            if due or stop:
                self._settle()
                self._save()
            if self.done == self.updates or self.ended_early:
                return
            if stop:
                raise self._stop.stopped(f"after update {self.done:,} of {self.updates:,}; the state is saved")

    def _asked_to_stop(self, update: int, due: bool) -> bool:
        received = self._stop.received is not None
        if self._ranks.world == 1:
            return received
        return (due or (update + 1) % self._agree_every == 0) and self._ranks.any(received)

    def _save(self) -> None:
        state = {name: part.state_dict() for name, part in self.state.items()}
        tensors: dict[str, Tensor] = {}
        pack(state, tensors)
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise Diverged(
                    f"{name.removeprefix('/')} holds values that are not finite after update {self.done:,}; "
                    "no checkpoint was made of it.",
                    fix="Lower the learning rate or raise the temperature; the last checkpoint is intact.",
                )
        with self._ranks.together():
            if self._ranks.first:
                content = {"update": self.done, "ended_early": self.ended_early, "state": state}
                self.run.checkpoints.save(self.done, content)

    def end_early(self, why: str, *, done: int) -> None:
        """Make this update the last one; `done` updates count, which may be fewer than were begun."""
        self.ended_early, self.done = why, done

    def check_finite(self, update: int, **losses: Tensor | float) -> None:
        """Refuse to go on with a loss that is NaN or infinite; call it before the optimizer step.

        Raises:
            Diverged: with the name, the value and the update; the checkpoints on disk stay as they are.
        """
        for name, loss in losses.items():
            value = float(loss.detach() if isinstance(loss, Tensor) else loss)
            if not math.isfinite(value):
                samples = update * self.samples_per_update
                raise Diverged(
                    f"{name} is {value} at update {update + 1:,} (samples {samples:,} to "
                    f"{samples + self.samples_per_update - 1:,}); it was not used for an update.",
                    fix="Lower the learning rate or raise the temperature; the last checkpoint is intact.",
                )

    def log(self, update: int, values: Mapping[str, float]) -> None:
        """Write one line of metrics and show the values."""
        if self._metrics is None:
            return
        samples = (update + 1) * self.samples_per_update
        line = {"update": update + 1, "samples": samples, **values}
        self._metrics.write({**line, "seconds": round(time.monotonic() - self._started, 3)})
        self.events.advance(samples, values)
