"""The part of a training loop that is not science: resume, checkpoints, metrics, stop rules, signals, progress.

    with Training(run, state={"encoder": f}, optimizer=optimizer, updates=1000, batch=128, ...) as training:
        for update in training:
            losses = ...                  # of the samples with the indices training.rows
            training.step(losses)         # finite? backward, optimizer, schedule, log

Iteration starts after the newest checkpoint. Between two updates it saves when it is due and leaves in good order when
a signal has come. As all random numbers depend on (seed, index) alone, a resumed run equals a straight one bit by bit.

Metrics stay on the device until they are read, at each update on the CPU and every 20 on CUDA. Only then is it known
that a loss was not finite or that a stop rule ended the run, some updates ago; what must not be learned is prevented on
the device meanwhile (halt.py). Of several ranks rank 0 has the run folder; the others get what it reads, and all stop
when any of them has a signal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from copgen.runtime import memory
from copgen.runtime.errors import Diverged
from copgen.runtime.signals import StopRequest
from copgen.storage.state_tree import pack
from copgen.training import out_of_memory
from copgen.training.halt import Halt
from copgen.training.metrics import FILE_NAME as METRICS
from copgen.training.metrics import DeviceMetrics, MetricsFile, UpdateMetrics
from copgen.training.run import Run
from copgen.training.schedules import set_learning_rate
from copgen.training.stop_rules import StopRule

READ_EVERY = {"cuda": 20}  # updates between two waits for the device; on others it costs nothing
REMEDY = "Lower the learning rate or raise the temperature; the last checkpoint is intact."


class Stateful(Protocol):
    """Modules, optimizers and schedulers, and whatever else has a state to restore."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Training:
    """An iteration over update numbers 0 .. updates - 1 of a run; use it as a context.

    Attributes:
        update: the number of the current update.
        done: updates that count so far.
        ended_early: the name of the stop rule that ended the run; empty where none did.

    Raises:
        Stopped: a signal came; the state after the current update is saved.
        Diverged: a loss, or the state to be saved, is not finite; the checkpoints on disk stay as they are.
        EnvironmentFault: the device has not enough memory; the error says which batch would fit.
        UsageError, EnvironmentFault: as `Run.open`.
    """

    def __init__(
        self,
        run: Run,
        *,
        state: Mapping[str, Stateful],
        updates: int,
        batch: int,
        checkpoint_every: int,
        title: str,
        inputs: Mapping[str, str] | None = None,
        note: str | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        schedule: Callable[[int], float] | None = None,
        clip: float | None = None,
        stop: StopRule | None = None,
        read_every: int | None = None,
        try_update: Callable[[int], object] | None = None,
        parts: Mapping[str, int] | None = None,
        remedy: str = "",
    ) -> None:
        """The arguments that need a word:

        Args:
            state: what a checkpoint holds, by name; the optimizer is added as "optimizer".
            batch: samples of an update, of all ranks.
            inputs, note: as `Run.open`.
            optimizer, schedule, clip: of `step`: the learning rate by update, and the bound on the gradient norm.
            stop: ends the run early.
            read_every: updates between two waits for the device; None goes by the device.
            try_update: does one update of so many rows of this process, to say which batch would fit into memory.
            parts, remedy: as `out_of_memory.explained`.
        """
        self.run = run
        self.updates = updates
        self.batch = batch
        self.update = 0
        self.done = 0
        self.ended_early = ""
        self._state = {**state, **({"optimizer": optimizer} if optimizer is not None else {})}
        self._optimizer, self._schedule, self._clip = optimizer, schedule, clip
        self._checkpoint_every = checkpoint_every
        self._title, self._inputs, self._note = title, inputs, note
        self._rule = stop
        self._try_update, self._parts, self._remedy = try_update, parts or {}, remedy
        self._halt = Halt(run.device)
        self._unread = DeviceMetrics(every=read_every or READ_EVERY.get(run.device.type, 1))
        self._file: MetricsFile | None = None
        self._signals = StopRequest()

    @property
    def rows(self) -> range:
        """The sample indices of the current update, of all ranks."""
        return range(self.update * self.batch, (self.update + 1) * self.batch)

    def __enter__(self) -> Training:
        run = self.run
        run.open(inputs=self._inputs, note=self._note)
        if run.finished:
            return self
        saved = None
        with run.ranks.together():
            if run.ranks.first:
                saved = run.folder.checkpoints.newest(run.events)
        saved = run.ranks.broadcast(saved)
        if saved is not None:
            self._resume(saved)
        with run.ranks.together():
            if run.ranks.first:
                self._file = MetricsFile(run.path / METRICS, update=self.done)
        self._signals.__enter__()
        total, done = self.updates * self.batch, self.done * self.batch
        run.events.begin(self._title, total=total, unit="samples", done=done)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.run.finished:
            return
        self._signals.__exit__(kind, error, trace)
        self.run.events.end()
        if self._file is not None:
            self._file.close()
        if error is not None and self._try_update is not None and memory.is_out_of_memory(error):
            raise out_of_memory.explained(
                error,
                self._try_update,
                self.run.device,
                batch=self.batch,
                world=self.run.ranks.world,
                parts=self._parts,
                remedy=self._remedy,
            ) from None

    def _resume(self, saved: Mapping[str, Any]) -> None:
        self.done = int(saved["update"])
        self.ended_early = str(saved.get("ended_early", ""))
        for name, part in self._state.items():
            part.load_state_dict(saved["state"][name])
            if isinstance(part, torch.optim.Optimizer):
                _restore_layout(part)
        self.run.events.say(f"Going on from update {self.done:,} of {self.updates:,} in {self.run.path}.")

    def __iter__(self) -> Iterator[int]:
        self._started = time.monotonic()
        if self.run.finished or self.ended_early:  # or the checkpoint is of a run whose end was not yet written
            return
        for update in range(self.done, self.updates):
            self.update, count = update, update + 1
            yield update
            if not self.ended_early:
                self.done = count
            due = self.done == self.updates or bool(self.ended_early) or count % self._checkpoint_every == 0
            stop = self._asked_to_stop(count, due)
            if due or stop:
                self.read()
                self._save()
            if self.done == self.updates or self.ended_early:
                return
            if stop:
                raise self._signals.stopped(f"after update {self.done:,} of {self.updates:,}; the state is saved")

    def _asked_to_stop(self, count: int, due: bool) -> bool:
        """Whether a signal came; ranks ask each other only when the device is read, as that waits for it too."""
        received = self._signals.received is not None
        if self.run.ranks.world == 1:
            return received
        return (due or count % self._unread.every == 0) and self.run.ranks.any(received)

    def _save(self) -> None:
        state = {name: part.state_dict() for name, part in self._state.items()}
        tensors: dict[str, Tensor] = {}
        pack(state, tensors)
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise Diverged(
                    f"{name.removeprefix('/')} holds values that are not finite after update {self.done:,}; "
                    "no checkpoint was made of it.",
                    fix=REMEDY,
                )
        with self.run.ranks.together():
            if self.run.ranks.first:
                content = {"update": self.done, "ended_early": self.ended_early, "state": state}
                self.run.folder.checkpoints.save(self.done, content)

    def step(self, losses: Mapping[str, Tensor], metrics: Mapping[str, Tensor | float] | None = None) -> None:
        """One step of the optimizer down the sum of the losses, unless that is not finite; then `log`.

        Args:
            losses: scalars, which have to be finite.
            metrics: what else is logged.
        """
        assert self._optimizer is not None
        first, *others = losses.values()
        loss = sum(others, start=first)
        self._halt.where(~loss.detach().isfinite())
        if self._schedule is not None:
            set_learning_rate(self._optimizer, self._schedule(self.update))
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        if self._clip is not None:
            nn.utils.clip_grad_norm_([p for group in self._optimizer.param_groups for p in group["params"]], self._clip)
        self._halt.step(self._optimizer)
        self.log({**losses, **(metrics or {})}, finite=tuple(losses))

    def log(
        self,
        metrics: Mapping[str, Tensor | float],
        *,
        finite: Sequence[str],
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Take the metrics of the current update; they are read, checked, written and shown when it is time.

        Args:
            metrics: scalars by name, in the order of the log.
            finite: the names of those that must not be NaN or infinite.
            weights: are kept as they are now, for the stop rule.

        Raises:
            Diverged: with the name, the value and the update; nothing was updated with it.
        """
        self._unread.keep(self.update, metrics, weights=weights, finite=tuple(finite))
        if self._unread.full:
            self.read()

    def read(self) -> None:
        """Read what the device has been keeping, log it, and see whether one of those updates was the end."""
        for metrics in self._unread.read():
            if not self.ended_early:
                self._take(metrics)

    def _take(self, metrics: UpdateMetrics) -> None:
        if self._rule is not None and self._rule.refuses(metrics.values):
            self.ended_early, self.done = self._rule.name, metrics.update
            return
        self._check_finite(metrics)
        if self._rule is not None and self._rule.watch(metrics.values, metrics.weights):
            self.ended_early, self.done = self._rule.name, metrics.update + 1
        if self._file is not None:
            samples = (metrics.update + 1) * self.batch
            line = {"update": metrics.update + 1, "samples": samples, **metrics.values}
            self._file.write({**line, "seconds": round(time.monotonic() - self._started, 3)})
            self.run.events.advance(samples, metrics.values)

    def _check_finite(self, metrics: UpdateMetrics) -> None:
        for name in metrics.finite:
            value = metrics.values[name]
            if not math.isfinite(value):
                samples = metrics.update * self.batch
                raise Diverged(
                    f"{name} is {value} at update {metrics.update + 1:,} (samples {samples:,} to "
                    f"{samples + self.batch - 1:,}); it was not used for an update.",
                    fix=REMEDY,
                )

    def due(self, interval: int) -> bool:
        """Whether the samples drawn pass a multiple of `interval` with this update, and the run did not end with it."""
        passed = self.rows.stop // interval > self.rows.start // interval
        if passed:
            self.read()
        return passed and not self.ended_early


def _restore_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give the moments the memory layout of their parameters, so that the same kernels run as before the stop."""
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
