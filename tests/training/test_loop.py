"""The training loop: a resumed run equals an uninterrupted one, signals stop it cleanly, divergence is not saved."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from copgen.distributed.ranks import Ranks
from copgen.runtime import philox
from copgen.runtime.errors import Diverged, ExitCode, Stopped, UsageError
from copgen.runtime.settings import Settings
from copgen.storage.files import read_json
from copgen.storage.tensors import save_tensors
from copgen.training import loop
from copgen.training.loop import Training
from copgen.training.metrics import read_metrics
from copgen.training.run import started
from copgen.training.trackers import TrackerName
from tests.distributed.listeners import Kept

UPDATES, BATCH, EVERY = 8, 4, 3


class Toy(Settings):
    """Settings without a field."""


class Counter:
    """A state that is no module: a number and a list."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        self.seen = list(state_dict["seen"])


class Learner:
    """A regression with momentum and running statistics, whose data depend only on the update."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=0.05)
        self.counter = Counter()
        self.shares: dict[str, float] = {"loss": 1.0}  # of the loss, each minimised under a name of its own

    def update(self, training: Training, factor: float) -> None:
        x = philox.normal(0, training.samples, 3, stream="x").float()
        loss: Tensor = (self.net(x) - x.sum(1, keepdim=True)).square().mean()
        self.counter.seen.append(training.update)
        losses = {name: share * factor * loss for name, share in self.shares.items()}
        training.step(losses, {"chance": 3.0})


class EndAt:
    """A stop rule that ends the run with an update, or before it."""

    name = "enough"

    def __init__(self, update: int, *, refused: bool) -> None:
        self.update = update
        self.refused = refused
        self.seen = 0

    def refuses(self, metrics: Mapping[str, float]) -> bool:
        return self.refused and self.seen == self.update

    def watch(self, metrics: dict[str, float], weights: Mapping[str, Tensor]) -> bool:
        self.seen += 1
        metrics["seen"] = self.seen
        return not self.refused and self.seen > self.update


Inside = Callable[[int, Learner, Training], None]


def train(
    path: Path,
    inside: Inside | None = None,
    events: Kept | None = None,
    *,
    stop: EndAt | None = None,
    read_every: int | None = None,
    poisoned: int | None = None,
    value: float = 1.0,
    shares: Mapping[str, float] | None = None,
    every: int | str = EVERY,
    rehearsal: bool = False,
    track: TrackerName | None = None,
) -> Learner:
    """Train in the run folder `path`; `inside` runs in every update, after the step."""
    learner = Learner()
    learner.shares = dict(shares or learner.shares)
    with (
        started(
            Toy(),
            path,
            stage="toy",
            artefact="toy.safetensors",
            device="cpu",
            events=events or Kept(),
            ranks=Ranks(),
            rehearsal=rehearsal,
        ) as run,
        Training(
            run,
            state={"net": learner.net, "counter": learner.counter},
            optimizer=learner.optimizer,
            updates=UPDATES,
            batch=BATCH,
            checkpoint_every=every,
            title="toy",
            stop=stop,
            read_every=read_every,
            track=track,
        ) as training,
    ):
        for update in training:
            learner.update(training, value if update == poisoned else 1.0)
            if inside is not None:
                inside(update, learner, training)
    return learner


def at(update: int, act: Callable[[], object]) -> Inside:
    def inside(reached: int, learner: Learner, training: Training) -> None:
        if reached == update:
            act()

    return inside


def send(number: signal.Signals) -> None:
    signal.raise_signal(number)


def metrics(path: Path) -> list[dict[str, Any]]:
    """All lines without the time, which no two runs share."""
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(path / "metrics.jsonl")]


def newest(path: Path) -> int:
    records = sorted((path / "checkpoints").glob("*.json"))
    return int(read_json(records[-1])["update"]) if records else 0


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Learner, list[dict[str, Any]]]:
    path = tmp_path_factory.mktemp("straight") / "run"
    return train(path), metrics(path)


def same(a: Learner, b: Learner) -> bool:
    states = [[*each.net.state_dict().values(), *moments(each)] for each in (a, b)]
    return all(torch.equal(x, y) for x, y in zip(*states, strict=True)) and a.counter.seen == b.counter.seen


def moments(learner: Learner) -> Iterator[Tensor]:
    for state in learner.optimizer.state_dict()["state"].values():
        yield from state.values()


def test_a_straight_run(straight: tuple[Learner, list[dict[str, Any]]]) -> None:
    learner, written = straight
    assert learner.counter.seen == list(range(UPDATES))
    assert [(line["update"], line["samples"]) for line in written] == [(n, n * BATCH) for n in range(1, UPDATES + 1)]
    assert all(isinstance(line["loss"], float) for line in written)


def test_of_several_losses_the_sum_is_minimised_and_logged(
    tmp_path: Path, straight: tuple[Learner, list[dict[str, Any]]]
) -> None:
    learner, written = straight
    halves = train(tmp_path / "run", shares={"a": 0.5, "b": 0.5})
    assert same(halves, learner)
    assert metrics(tmp_path / "run") == [{**line, "a": 0.5 * line["loss"], "b": 0.5 * line["loss"]} for line in written]


@pytest.mark.parametrize(("every", "saved"), [("0.000001s", 5), ("2min", 0)])
def test_checkpoints_by_time_resume_to_the_same_bits(
    tmp_path: Path, straight: tuple[Learner, list[dict[str, Any]]], every: str, saved: int
) -> None:
    def crash() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        train(tmp_path / "run", at(5, crash), every=every)
    assert newest(tmp_path / "run") == saved
    assert same(train(tmp_path / "run", every=every), straight[0])
    assert metrics(tmp_path / "run") == straight[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("update", range(UPDATES - 1))
def test_stopped_and_resumed_equals_straight(
    tmp_path: Path, straight: tuple[Learner, list[dict[str, Any]]], update: int, number: signal.Signals
) -> None:
    with pytest.raises(Stopped) as caught:
        train(tmp_path, at(update, lambda: send(number)))
    assert caught.value.code is (ExitCode.STOPPED if number is signal.SIGTERM else ExitCode.INTERRUPTED)
    assert f"after update {update + 1} of {UPDATES}" in str(caught.value)
    assert newest(tmp_path) == update + 1
    events = Kept()
    assert same(train(tmp_path, events=events), straight[0])
    assert metrics(tmp_path) == straight[1]
    assert events.begun == [("toy", UPDATES * BATCH, "samples", (update + 1) * BATCH)]
    assert f"update {update + 1} of {UPDATES}" in events.said[0]


@pytest.mark.parametrize("update", range(UPDATES))
def test_crashed_and_resumed_equals_straight(
    tmp_path: Path, straight: tuple[Learner, list[dict[str, Any]]], update: int
) -> None:
    def crash() -> None:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path, at(update, crash))
    assert newest(tmp_path) == update // EVERY * EVERY
    assert same(train(tmp_path), straight[0])
    assert metrics(tmp_path) == straight[1]


def test_many_interruptions_equal_straight(tmp_path: Path, straight: tuple[Learner, list[dict[str, Any]]]) -> None:
    for update in range(UPDATES - 1):
        with pytest.raises(Stopped):
            train(tmp_path, at(update, lambda: send(signal.SIGTERM)))
    assert same(train(tmp_path), straight[0])
    assert metrics(tmp_path) == straight[1]


def test_the_state_of_the_end_is_saved_and_not_trained_further(tmp_path: Path) -> None:
    first = train(tmp_path)
    assert newest(tmp_path) == UPDATES
    again = train(tmp_path, lambda *_: pytest.fail("an update beyond the last"))
    assert same(first, again)


def test_a_signal_in_the_last_update_is_heard_and_all_updates_are_kept(tmp_path: Path) -> None:
    with pytest.raises(Stopped, match=f"after update {UPDATES} of {UPDATES}"):
        train(tmp_path, at(UPDATES - 1, lambda: send(signal.SIGTERM)))
    assert train(tmp_path).counter.seen == list(range(UPDATES))


def test_the_second_signal_acts(tmp_path: Path) -> None:
    def twice() -> None:
        send(signal.SIGINT)
        send(signal.SIGINT)

    # A shell starts what it runs in the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, at(4, twice))
    finally:
        signal.signal(signal.SIGINT, before)
    assert newest(tmp_path) == 3


@pytest.mark.parametrize("update", [0, 4])
def test_an_early_end_stays_the_end(tmp_path: Path, update: int) -> None:
    first = train(tmp_path, stop=EndAt(update, refused=False))
    assert first.counter.seen == list(range(update + 1))
    assert newest(tmp_path) == update + 1
    assert [line["seen"] for line in metrics(tmp_path)] == list(range(1, update + 2))
    assert same(first, train(tmp_path, lambda *_: pytest.fail("an update beyond the end")))


@pytest.mark.parametrize("read_every", [None, 3, 100])
def test_a_refused_update_is_not_counted_nor_logged(tmp_path: Path, read_every: int | None) -> None:
    train(tmp_path, stop=EndAt(4, refused=True), read_every=read_every)
    assert newest(tmp_path) == 4
    assert [line["update"] for line in metrics(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize("read_every", [2, 100])
def test_reading_seldom_changes_nothing_that_is_written(
    tmp_path: Path, straight: tuple[Learner, list[dict[str, Any]]], read_every: int
) -> None:
    assert same(train(tmp_path, read_every=read_every), straight[0])
    assert metrics(tmp_path) == straight[1]


@pytest.mark.parametrize("read_every", [None, 100])
def test_a_rehearsal_reads_every_update_and_is_tracked_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_every: int | None
) -> None:
    monkeypatch.setitem(loop.READ_EVERY, "cpu", loop.READ_EVERY["cuda"])
    monkeypatch.setattr(loop, "open_tracker", lambda *_, **__: pytest.fail("a tracker"))
    lines: list[int] = []
    count = lambda *_: lines.append(len(metrics(tmp_path)))  # noqa: E731
    train(tmp_path, count, read_every=read_every, rehearsal=True, track="trackio")
    assert lines == list(range(1, UPDATES + 1))


@pytest.mark.parametrize("read_every", [None, 100])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_stops_before_anything_changes(
    tmp_path: Path, value: float, read_every: int | None
) -> None:
    weights: list[list[Tensor]] = []

    def note(update: int, learner: Learner, training: Training) -> None:
        weights.append([parameter.detach().clone() for parameter in learner.net.parameters()])

    with pytest.raises(Diverged) as caught:
        train(tmp_path, note, poisoned=4, value=value, read_every=read_every)
    assert caught.value.code is ExitCode.DIVERGED
    assert "loss is " in str(caught.value)
    assert "at update 5 (samples 16 to 19)" in str(caught.value)
    assert newest(tmp_path) == 3
    assert [line["update"] for line in metrics(tmp_path)] == [1, 2, 3, 4]
    for later in weights[4:]:
        assert all(torch.equal(a, b) for a, b in zip(weights[3], later, strict=True))


def test_intervals_are_passed_once_for_each_update_that_reaches_them(tmp_path: Path) -> None:
    passed: dict[int, int] = {}

    def note(update: int, learner: Learner, training: Training) -> None:
        for interval in (BATCH, 2 * BATCH, 3 * BATCH, 10, 3, 1000):
            passed[interval] = passed.get(interval, 0) + training.due(interval)

    train(tmp_path, note)
    assert passed == {BATCH: 8, 2 * BATCH: 4, 3 * BATCH: 2, 10: 3, 3: 8, 1000: 0}


def test_a_finished_run_has_no_update_left_and_gives_its_summary(tmp_path: Path) -> None:
    def run(summary: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        learner, updates = Learner(), 0
        with started(Toy(), tmp_path, stage="toy", artefact="toy.safetensors", device="cpu", ranks=Ranks()) as opened:
            with Training(
                opened,
                state={"net": learner.net},
                optimizer=learner.optimizer,
                updates=2,
                batch=BATCH,
                checkpoint_every=EVERY,
                title="toy",
            ) as training:
                for _ in training:
                    learner.update(training, 1.0)
                    updates += 1
            found = opened.finish(lambda: summary, lambda path, _: save_tensors(path, {}, kind="toy", header={}))
        return updates, found

    assert run({"loss": 1.0}) == (2, {"loss": 1.0})
    assert run({"loss": 2.0}) == (0, {"loss": 1.0})


def test_what_is_refused_before_the_folder_is_opened_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="no"),
        started(Toy(), tmp_path / "run", stage="toy", artefact="toy.safetensors", device="cpu", ranks=Ranks()),
    ):
        raise UsageError("no")
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_is_not_finite_makes_no_checkpoint(
    tmp_path: Path, straight: tuple[Learner, list[dict[str, Any]]]
) -> None:
    def poison(update: int, learner: Learner, training: Training) -> None:
        if update == 5:
            with torch.no_grad():
                next(learner.net.parameters()).fill_(float("nan"))

    with pytest.raises(Diverged, match=r"net/0\.weight .*finite.* update 6"):
        train(tmp_path, poison)
    assert newest(tmp_path) == 3
    assert same(train(tmp_path), straight[0])


def test_the_listener_hears_the_end_even_of_a_failure(tmp_path: Path) -> None:
    events = Kept()
    handler = signal.getsignal(signal.SIGTERM)

    def crash() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        train(tmp_path, at(2, crash), events)
    assert events.ended == 1
    assert events.progress == [BATCH, 2 * BATCH, 3 * BATCH]
    assert signal.getsignal(signal.SIGTERM) is handler
