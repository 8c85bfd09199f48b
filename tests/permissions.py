"""Permissions that hold for the superuser too, as tests often run as root."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_VERSION_3 = 0x20080522  # of the structures of capget(2)
_OVERRIDE = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


@contextmanager
def permissions_hold() -> Iterator[None]:
    """Meanwhile this thread has only the permissions that files give to their owner: the superuser drops its own."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("the superuser cannot give up its permissions here")
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    before = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice, for 64 capabilities
    assert libc.capget(head, before) == 0
    dropped = type(before)(*before)
    dropped[0] &= ~_OVERRIDE
    assert libc.capset(head, dropped) == 0
    try:
        yield
    finally:
        assert libc.capset(head, before) == 0
