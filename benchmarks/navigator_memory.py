"""One method's temporaries on the CPU, in a separate process: the peak above the inputs, minus the outputs.

`python -m benchmarks.navigator_memory NAME ROWS WIDTH forward|both` prints bytes, or "None" if not available.
"""

from __future__ import annotations

import sys

import torch

from benchmarks import navigator_methods as m
from benchmarks import timing


def main(name: str, rows: str, width: str, way: str) -> None:
    """Measures and writes; the arguments are as on the command line."""
    torch.set_num_threads(2)
    shape = m.Shape(int(rows), int(width))
    step = m.methods(compiled=False)[name]
    grad = way == "both"
    tensors = m.inputs(shape, torch.device("cpu"), grad=grad)
    upstream = torch.ones_like(tensors[0])

    def call() -> None:
        if grad:
            m.both_ways(step, tensors, upstream)
        else:
            m.forward(step, tensors)

    # In both cases z' exists at the same time as the temporaries; gradients of the weights are small in comparison.
    returned = tensors[0].numel() * tensors[0].element_size()
    peak = timing.peak_memory_cpu(call)
    sys.stdout.write(f"{None if peak is None else max(peak - returned, 0)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
