"""One method's temporaries on the CPU, in a process of its own: the peak above the inputs, less what it returns.

`python -m benchmarks.navigator_memory NAME ROWS WIDTH forward|both` writes bytes, or "None" where they cannot be read.
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

    # Either way z' exists while the temporaries do; gradients of the weights are small beside it.
    returned = tensors[0].numel() * tensors[0].element_size()
    peak = timing.peak_memory_cpu(call)
    sys.stdout.write(f"{None if peak is None else max(peak - returned, 0)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
