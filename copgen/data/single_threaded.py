"""Threads that decode and prepare images, each with one CPU thread in PyTorch, so that they do not get in their way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import torch


def single_threaded(count: int) -> ThreadPoolExecutor:
    """A pool whose threads each use one CPU thread in PyTorch; the caller's number is as before.

    Args:
        count: threads.
    """
    ours = torch.get_num_threads()
    started = threading.Barrier(count + 1)

    def begin() -> None:
        torch.set_num_threads(1)  # of this thread, and of those that start later
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="load", initializer=begin)
    for _ in range(count):
        pool.submit(int)  # an idle thread would take a second one: none is idle before all have started
    started.wait()
    torch.set_num_threads(ours)
    return pool
