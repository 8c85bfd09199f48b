"""Files are written by another thread, in order; its errors come out where the next one is written, or at the end."""

from __future__ import annotations

import threading

import pytest

from copgen.storage.background import BackgroundWriter


def fail() -> None:
    raise OSError("the disk is full")


def test_the_caller_goes_on_while_a_call_runs() -> None:
    go_on, written = threading.Event(), []

    def write() -> None:
        assert go_on.wait(timeout=60)
        written.append(threading.current_thread())

    with BackgroundWriter() as writer:
        writer.submit(write)
        assert written == []
        go_on.set()
        writer.submit(write)
        assert len(written) >= 1  # the first has ended before the second begins
    assert len(written) == 2
    assert threading.current_thread() not in written


def test_an_error_is_raised_by_the_next_call_or_at_the_end() -> None:
    with BackgroundWriter() as writer:
        writer.submit(fail)
        with pytest.raises(OSError, match="full"):
            writer.submit(lambda: None)
        writer.submit(lambda: None)
    with pytest.raises(OSError, match="full"), BackgroundWriter() as writer:
        writer.submit(fail)


def test_an_error_of_the_block_is_not_replaced() -> None:
    def block() -> None:
        with BackgroundWriter() as writer:
            writer.submit(fail)
            raise KeyError

    with pytest.raises(KeyError):
        block()
