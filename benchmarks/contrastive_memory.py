"""One method's extra peak memory on the CPU, in a separate process.

`python -m benchmarks.contrastive_memory NAME K D DTYPE TEMPERATURE` prints bytes, or "None" if not available.
"""

from __future__ import annotations

import sys

import torch

from benchmarks import contrastive_peers as peers
from benchmarks import timing


def main(name: str, k: str, d: str, dtype: str, temperature: str) -> None:
    """Measures and writes; the arguments are as on the command line."""
    torch.set_num_threads(1)
    h, h_pos = peers.embeddings(int(k), int(d), getattr(torch, dtype), torch.device("cpu"))
    function = peers.method_named(name).build()

    def call() -> None:
        peers.value_and_gradients(function, h, h_pos, float(temperature))

    sys.stdout.write(f"{timing.peak_memory_cpu(call)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
