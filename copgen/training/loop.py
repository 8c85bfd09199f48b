"""The infrastructure of a training loop: resume, checkpoints, metrics, stop rules, signals, progress.

    with Training(run, state={"encoder": f}, optimizer=optimizer, updates=1000, batch=128, ...) as training:
        for update in training:
            losses = ...                  # of the samples with the indices training.samples
            training.step(losses)         # finite? backward, optimizer, schedule, log

Iteration starts after the newest checkpoint. Between two updates it saves a checkpoint if one is due, and stops cleanly
after a signal. As all random numbers depend only on (seed, index), a resumed run is bitwise equal to an uninterrupted
one.

Metrics stay on the device until they are read, after each update on the CPU and every 20 on CUDA. So a non-finite loss
or a stop rule is noticed some updates later; until then, updates are skipped on the device (halt.py). With several
ranks, rank 0 owns the run folder and broadcasts what it reads, and all stop when any of them receives a signal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from copgen.runtime import memory
from copgen.runtime.errors import Diverged
from copgen.runtime.settings import flatten
from copgen.runtime.signals import StopRequest
from copgen.storage.state_tree import pack
from copgen.training import out_of_memory
from copgen.training.halt import Halt
from copgen.training.intervals import Every
from copgen.training.metrics import FILE_NAME as METRICS
from copgen.training.metrics import DeviceMetrics, MetricsFile, UpdateMetrics
from copgen.training.run import Run
from copgen.training.schedules import set_learning_rate
from copgen.training.stop_rules import StopRule
from copgen.training.trackers import Tracker, TrackerName, numbers, open_tracker

READ_EVERY = {"cuda": 20}  # updates between two synchronisations; free on other devices


class Stateful(Protocol):
    """Modules, optimizers, schedulers, and other objects with a state dict."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


class Training:
    """Iterates over the updates 0 .. updates - 1 of a run; use it as a context manager.

    Attributes:
        update: the number of the current update.
        done: number of valid updates so far.
        ended_early: the name of the stop rule that ended the run, or empty.

    Raises:
        Stopped: a signal arrived; the state after the current update is saved.
        Diverged: a loss, or the state to be saved, is not finite; the checkpoints on disk are unchanged.
        EnvironmentFault: the device is out of memory; the error says which batch would fit.
        UsageError, EnvironmentFault: as `Run.open`.
    """

    def __init__(
        self,
        run: Run,
        *,
        state: Mapping[str, Stateful],
        updates: int,
        batch: int,
        checkpoint_every: int | str,
        title: str,
        unit: str = "samples",
        inputs: Mapping[str, str] | None = None,
        note: str | None = None,
        warning: str = "",
        optimizer: torch.optim.Optimizer | None = None,
        schedule: Callable[[int], float] | None = None,
        clip: float | None = None,
        stop: StopRule | None = None,
        read_every: int | None = None,
        try_update: Callable[[int], object] | None = None,
        parts: Mapping[str, int] | None = None,
        remedy: str = "",
        track: TrackerName | None = None,
    ) -> None:
        """Create it; nothing in the run folder is touched before the context is entered.

        Args:
            state: the objects to checkpoint, by name; the optimizer is added as "optimizer".
            batch, unit: samples per update, over all ranks; what progress calls them.
            checkpoint_every: updates between checkpoints, or a time (intervals.py).
            inputs, note, warning: as `Run.open`.
            optimizer, schedule, clip: of `step`: the learning rate by update, and the maximum gradient norm.
            stop: ends the run early.
            read_every: updates between two synchronisations with the device; None: `READ_EVERY`. 1 in a rehearsal.
            try_update, parts, remedy: as `out_of_memory.explained`, which needs one of the first and the last.
            track: log the metrics there too, unless it is a rehearsal.
        """
        self.run = run
        self.updates = updates
        self.batch = batch
        self.update = self.done = 0
        self.ended_early = ""
        self._state = {**state, **({"optimizer": optimizer} if optimizer is not None else {})}
        self._optimizer, self._schedule, self._clip = optimizer, schedule, clip
        self._every = Every(checkpoint_every)
        self._title, self._unit, self._inputs, self._note, self._warning = title, unit, inputs, note, warning
        self._rule = stop
        self._try_update, self._parts, self._remedy = try_update, parts or {}, remedy
        hotter = " or raise the temperature" if hasattr(run.settings, "temperature") else ""
        self._cure = f"Lower the learning rate{hotter}; the last checkpoint is intact."  # of divergence
        self._halt = Halt(run.device)
        self._unread = DeviceMetrics(every=1 if run.rehearsal else read_every or READ_EVERY.get(run.device.type, 1))
        self._file: MetricsFile | None = None
        self._track = None if run.rehearsal else track
        self._tracker: Tracker | None = None
        self._signals = StopRequest()
        self._waited = 0.0  # seconds

    @property
    def samples(self) -> range:
        """The sample indices of the current update, over all ranks."""
        return range(self.update * self.batch, (self.update + 1) * self.batch)

    @property
    def synchronises(self) -> bool:
        """Whether the ranks communicate after the current update anyway: they read the metrics."""
        count = self.update + 1
        return count == self.updates or count % self._unread.every == 0

    def __enter__(self) -> Training:
        run = self.run
        run.open(inputs=self._inputs, note=self._note, warning=self._warning)
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
                if self._track is not None:
                    settings = flatten(run.settings.tree())
                    self._tracker = open_tracker(self._track, run.path, settings, done=self.done)
        self._signals.__enter__()
        total, done = self.updates * self.batch, self.done * self.batch
        run.events.begin(self._title, total=total, unit=self._unit, done=done)
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
        if self._tracker is not None:
            self._tracker.close()
        if error is not None and (self._try_update or self._remedy) and memory.is_out_of_memory(error):
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
        self.run.events.say(f"Resuming from update {self.done:,} of {self.updates:,} in {self.run.path}.")

    def __iter__(self) -> Iterator[int]:
        self._started = time.monotonic()
        self._every.restart()
        if self.run.finished or self.ended_early:  # or it was interrupted after its last update
            return
        for update in range(self.done, self.updates):
            self.update, count = update, update + 1
            yield update
            if not self.ended_early:
                self.done = count
            due = self.done == self.updates or bool(self.ended_early) or self._every.counts(count)
            due = due or self._on_any_rank(self._every.elapsed, now=self.synchronises)
            stop = self._on_any_rank(self._signals.received is not None, now=due or self.synchronises)
            if due or stop:
                self.read()
                self._save()
                self._every.restart()
            if stop:  # after the last update too: what follows may take long, and the caller may start another command
                raise self._signals.stopped(f"after update {self.done:,} of {self.updates:,}; the state is saved")
            if self.done == self.updates or self.ended_early:
                return

    def _on_any_rank(self, here: bool, *, now: bool) -> bool:
        """Whether it holds on a rank; several ranks ask each other only `now`, where they synchronise anyway."""
        return here if self.run.ranks.world == 1 else now and self.run.ranks.any(here)

    def _save(self) -> None:
        state = {name: part.state_dict() for name, part in self._state.items()}
        tensors: dict[str, Tensor] = {}
        pack(state, tensors)
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise Diverged(
                    f"{name.removeprefix('/')} is not finite after update {self.done:,}; no checkpoint was saved.",
                    fix=self._cure,
                )
        with self.run.ranks.together():
            if self.run.ranks.first:
                content = {"update": self.done, "ended_early": self.ended_early, "state": state}
                self.run.folder.checkpoints.save(self.done, content)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A block that waits for data; its share of the time is logged as `data_wait`."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._waited += time.monotonic() - begun

    def step(
        self,
        losses: Mapping[str, Tensor],
        metrics: Mapping[str, Tensor | float] | None = None,
        *,
        backward: Callable[[Tensor], None] = torch.autograd.backward,
    ) -> None:
        """Backward of the sum of the losses and one optimizer step, skipped if the sum is not finite; then `log`.

        Args:
            losses: scalars, which must be finite; of this rank. What is logged is their mean over the ranks, and of
                several losses their sum too, as "loss".
            metrics: further scalars to log.
            backward: computes the gradients of the sum, averaged over the ranks.
        """
        assert self._optimizer is not None
        loss = sum_of(losses)
        losses = {name: self.run.ranks.mean(value) for name, value in losses.items()}
        self._halt.where(~sum_of(losses).isfinite())
        losses = {"loss": sum_of(losses), **losses} if len(losses) > 1 else losses
        rate = {} if self._schedule is None else {"lr": self._schedule(self.update)}
        if rate:
            set_learning_rate(self._optimizer, rate["lr"])
        self._optimizer.zero_grad()
        backward(loss)
        if self._clip is not None:
            nn.utils.clip_grad_norm_([p for group in self._optimizer.param_groups for p in group["params"]], self._clip)
        self._halt.step(self._optimizer)
        self.log({**losses, **(metrics or {}), **rate}, finite=tuple(losses))

    def log(
        self,
        metrics: Mapping[str, Tensor | float],
        *,
        finite: Sequence[str],
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Store the metrics of the current update; they are read, checked, written and shown later.

        Args:
            metrics: scalars by name, in the order of the log.
            finite: the names of those that must not be NaN or infinite.
            weights: a snapshot for the stop rule.

        Raises:
            Diverged: with the name, the value and the update; it was not used for an update.
        """
        self._unread.keep(self.update, metrics, weights=weights, finite=tuple(finite))
        if self._unread.full:
            self.read()

    def read(self) -> None:
        """Read the metrics from the device, log them, and check whether one of those updates was the last."""
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
            seconds = time.monotonic() - self._started
            times = {"seconds": round(seconds, 3), **self._data_wait(seconds)}
            line = {"update": metrics.update + 1, "samples": samples, **metrics.values, **times}
            self._file.write(line)
            if self._tracker is not None:
                self._tracker.log(metrics.update + 1, numbers(line))
            self.run.events.advance(samples, {**metrics.values, **self._data_wait(seconds)})

    def _data_wait(self, seconds: float) -> dict[str, float]:
        """The share of the time since the start or resume that was spent in `waiting`, if it is used."""
        return {"data_wait": round(self._waited / max(seconds, 1e-9), 4)} if self._waited else {}

    def _check_finite(self, metrics: UpdateMetrics) -> None:
        for name in metrics.finite:
            value = metrics.values[name]
            if not math.isfinite(value):
                samples = metrics.update * self.batch
                raise Diverged(
                    f"{name} is {value} at update {metrics.update + 1:,} (samples {samples:,} to "
                    f"{samples + self.batch - 1:,}); it was not used for an update.",
                    fix=self._cure,
                )

    def due(self, interval: int) -> bool:
        """Whether the samples drawn cross a multiple of `interval` in this update, and the run did not end with it."""
        if passed := self.samples.stop // interval > self.samples.start // interval:
            self.read()
        return passed and not self.ended_early


def sum_of(losses: Mapping[str, Tensor]) -> Tensor:
    """The sum of one or more losses (), by which a network is trained."""
    first, *others = losses.values()
    return sum(others, start=first)


def _restore_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give the moments the memory layout of their parameters, so that a resumed run uses the same kernels."""
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
