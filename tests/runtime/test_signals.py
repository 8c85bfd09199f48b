"""Signals: the first is remembered, the second acts."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from copgen.runtime.errors import ExitCode
from copgen.runtime.signals import EndedEarly, StopRequest, raising_on_signals

SIGNALS = [
    (signal.SIGINT, ExitCode.INTERRUPTED),
    (signal.SIGTERM, ExitCode.STOPPED),
    (signal.SIGUSR2, ExitCode.STOPPED),
]


class Acted(Exception):
    """The handler that was there before was called."""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    def act(number: int, frame: FrameType | None) -> None:
        raise Acted(signal.Signals(number).name)

    before = {number: signal.signal(number, act) for number, _ in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_the_first_is_remembered(number: signal.Signals, code: ExitCode) -> None:
    with StopRequest() as stop:
        assert not stop.received
        signal.raise_signal(number)
        assert stop.received == number
        error = stop.stopped("after update 3")
    assert error.code is code
    assert error.what == f"Stopped by {number.name} after update 3."
    assert "same command" in error.fix


@pytest.mark.parametrize(("first", "_code"), SIGNALS)
@pytest.mark.parametrize(("second", "_other"), SIGNALS)
def test_the_second_acts_at_once(first: signal.Signals, second: signal.Signals, _code: int, _other: int) -> None:
    with StopRequest() as stop:
        signal.raise_signal(first)  # returns when no echo is expected any more
        with pytest.raises(Acted, match=second.name):
            signal.raise_signal(second)
        assert stop.received is first


@pytest.mark.parametrize(("number", "_code"), SIGNALS)
def test_a_signal_that_is_passed_on_as_well_is_one(
    number: signal.Signals, _code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a scheduler sends it to a pipeline and to the command that the pipeline passes it on to."""
    monkeypatch.setattr("copgen.runtime.signals.ECHO_SECONDS", 2.0)
    with StopRequest() as stop:
        echo = threading.Timer(0.3, os.kill, (os.getpid(), number))
        echo.start()
        signal.raise_signal(number)
        echo.join()
        assert stop.received is number
        with pytest.raises(Acted):
            signal.raise_signal(number)


def test_a_signal_that_comes_while_handlers_are_set_back_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    set_back, coming = signal.signal, [signal.SIGTERM]

    def interrupted(number: signal.Signals, handler: Any) -> Any:
        if coming:
            signal.raise_signal(coming.pop())
        return set_back(number, handler)

    before = {number: signal.getsignal(number) for number, _ in SIGNALS}
    with StopRequest() as stop:
        monkeypatch.setattr(signal, "signal", interrupted)
        signal.raise_signal(signal.SIGINT)
        monkeypatch.undo()
        assert not coming
        assert stop.received is signal.SIGINT
    assert {number: signal.getsignal(number) for number, _ in SIGNALS} == before


@pytest.mark.parametrize(("number", "_code"), SIGNALS)
@pytest.mark.parametrize("fail", [False, True])
def test_handlers_are_as_they_were_afterwards(number: signal.Signals, fail: bool, _code: int) -> None:
    before = signal.getsignal(number)
    try:
        with StopRequest():
            assert signal.getsignal(number) is not before
            if fail:
                raise ValueError
    except ValueError:
        pass
    assert signal.getsignal(number) is before


def test_outside_the_main_thread_nothing_is_caught() -> None:
    seen: list[bool] = []

    def work() -> None:
        before = signal.getsignal(signal.SIGTERM)
        with StopRequest() as stop:
            seen.append(signal.getsignal(signal.SIGTERM) is before and stop.received is None)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_outside_of_a_stage_a_command_ends_in_good_order(number: signal.Signals) -> None:
    with raising_on_signals():
        with pytest.raises(EndedEarly) as caught:
            signal.raise_signal(number)
        with StopRequest() as stop:
            signal.raise_signal(number)
            assert stop.received is number
            assert signal.getsignal(number) == signal.SIG_DFL  # the next one acts at once
    assert caught.value.error.code is ExitCode.STOPPED
    assert caught.value.error.what == f"Stopped by {number.name}."
    with pytest.raises(Acted):
        signal.raise_signal(number)


def test_a_stage_that_ends_leaves_the_good_order() -> None:
    with raising_on_signals():
        with StopRequest():
            pass
        with pytest.raises(EndedEarly):
            signal.raise_signal(signal.SIGTERM)
