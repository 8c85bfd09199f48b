"""The part of a training loop that is not science: resume, checkpoints, metrics, signals, progress.

    with Training(run, state={"f": f, "optimizer": optimizer}, updates=1000, samples_per_update=128, ...) as training:
        for update in training:
            ...
            training.check_finite(update, loss=loss)
            optimizer.step()
            training.log(update, {"loss": loss.item()})

Iteration starts after the newest checkpoint. Between two updates it saves when it is due and leaves in good order when
a signal has come. As all random numbers depend on (seed, index) alone, a resumed run equals a straight one bit by bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor

from copgen.runtime.checkpoints import pack
from copgen.runtime.errors import Diverged
from copgen.runtime.events import Events
from copgen.runtime.run_folder import Metrics, RunFolder
from copgen.runtime.signals import StopRequest


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
    ) -> None:
        self.run = run
        self.state = state
        self.updates = updates
        self.samples_per_update = samples_per_update
        self.checkpoint_every = checkpoint_every
        self.events = events
        self.title = title
        self.done = 0
        self.ended_early = False
        self._metrics: Metrics | None = None
        self._stop = StopRequest()

    def __enter__(self) -> Training:
        saved = self.run.checkpoints.newest(self.events)
        if saved is not None:
            self.done = int(saved["update"])
            self.ended_early = bool(saved.get("ended_early", False))
            for name, part in self.state.items():
                part.load_state_dict(saved["state"][name])
                if isinstance(part, torch.optim.Optimizer):
                    _restore_layout(part)
            self.events.say(f"Going on from update {self.done:,} of {self.updates:,} in {self.run.path}.")
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
            self.done = update + 1
            last = self.done == self.updates or self.ended_early
            if last or self.done % self.checkpoint_every == 0 or self._stop.received:
                self._save()
            if last:
                return
            if self._stop.received:
                raise self._stop.stopped(f"after update {self.done:,} of {self.updates:,}; the state is saved")

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
        self.run.checkpoints.save(self.done, {"update": self.done, "ended_early": self.ended_early, "state": state})

    def end_early(self) -> None:
        """Make the current update the last one."""
        self.ended_early = True

    def check_finite(self, update: int, **losses: Tensor) -> None:
        """Refuse to go on with a loss that is NaN or infinite; call it before the optimizer step.

        Raises:
            Diverged: with the name, the value and the update; the checkpoints on disk stay as they are.
        """
        for name, loss in losses.items():
            value = float(loss.detach())
            if not math.isfinite(value):
                samples = update * self.samples_per_update
                raise Diverged(
                    f"{name} is {value} at update {update + 1:,} (samples {samples:,} to "
                    f"{samples + self.samples_per_update - 1:,}); it was not used for an update.",
                    fix="Lower the learning rate or raise the temperature; the last checkpoint is intact.",
                )

    def log(self, update: int, values: Mapping[str, float]) -> None:
        """Write one line of metrics and show the values."""
        assert self._metrics is not None
        samples = (update + 1) * self.samples_per_update
        line = {"update": update + 1, "samples": samples, **values}
        self._metrics.write({**line, "seconds": round(time.monotonic() - self._started, 3)})
        self.events.advance(samples, values)
