"""Additional GPU measurements of benchmarks.navigate: rates in bf16, and the share of the matmul rate."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.navigate_steps import LAID_OUT, PAPER_SAMPLES, Plan, authors, ours

PAPER_BATCHES = (176, 1024)


def on_cuda(plan: Plan, weights: Path) -> dict[str, float]:
    """The metrics on a GPU: rates in bf16, the share of its matmul rate, and the ratio to the authors' step."""
    found: dict[str, float] = {}
    for batch in PAPER_BATCHES:
        here = replace(plan, batch=batch, precision="bfloat16")
        step = ours(here, weights, LAID_OUT)[0]
        seconds = _seconds(step, plan)
        found[f"rate {batch}"] = batch / seconds
        with FlopCounterMode(display=False) as counter:
            step(1)
        found["share"] = counter.get_total_flops() / seconds / _matrix_rate(plan.device)
        found["minutes"] = PAPER_SAMPLES * seconds / batch / 60
    theirs = authors(replace(plan, batch=PAPER_BATCHES[0]), weights)
    found["ratio"] = found[f"rate {PAPER_BATCHES[0]}"] / (PAPER_BATCHES[0] / _seconds(theirs, plan))
    return found


def _seconds(step: Callable[[int], object], plan: Plan) -> float:
    step(0)
    samples = []
    for update in range(plan.rounds):
        torch.cuda.synchronize(plan.device)
        begin = time.perf_counter()
        step(update + 1)
        torch.cuda.synchronize(plan.device)
        samples.append(time.perf_counter() - begin)
    return sorted(samples)[len(samples) // 2]


def _matrix_rate(device: torch.device, n: int = 8192) -> float:
    """FLOPs a second of a bf16 matrix product."""
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    call = functools.partial(torch.matmul, a, b)
    call()
    torch.cuda.synchronize(device)
    begin = time.perf_counter()
    for _ in range(20):
        call()
    torch.cuda.synchronize(device)
    return 20 * 2 * n**3 / (time.perf_counter() - begin)
