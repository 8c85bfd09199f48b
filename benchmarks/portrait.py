"""Makes the portrait of the embedded generator anew, which `copgen sample --dry-run` estimates with.

    OMP_NUM_THREADS=1 python -m benchmarks.portrait          # half a minute; writes into copgen/generators/weights/

After a change of the weights it has to be; after one of the generator's speed it should be.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from benchmarks import timing
from benchmarks.sampling_parts import LAUNCH
from copgen import generators
from copgen.generators.portrait import IMAGES, KIND, Portrait, file_of
from copgen.pairs import to_uint8
from copgen.stages.sample.batches import make_pairs
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.source import open_source
from copgen.storage.tensors import save_tensors

NAME, COUNT, BATCH, ROUNDS = "digits", 64, 500, 7


def images() -> torch.Tensor:
    """The first images of seed 0, uint8 (COUNT, C, H, W)."""
    G = generators.load(NAME)
    with torch.no_grad():
        return to_uint8(G(G.sample_prior(range(COUNT), seed=0)))


def seconds() -> float:
    """Seconds of one core for an image: half of those for a pair, in whole batches."""
    torch.set_num_threads(1)
    source, plan = open_source(settings(n=BATCH))
    taken = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        with torch.no_grad():
            make_pairs(source, plan, range(BATCH))
        taken.append((time.process_time() - begin) / BATCH / 2)
    return median(taken)


def peak_bytes() -> int:
    """Resident memory at the peak of a run of a few batches, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = ["--n", str(4 * BATCH), "--tz", "gaussian", "--device", "cpu", "--out", str(Path(folder) / "pairs")]
        program = [sys.executable, "-m", "copgen_cli", "sample", "--generator", NAME, *wanted, "--quiet"]
        command = [sys.executable, "-c", LAUNCH, *program]
        return 1024 * int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def settings(**changes: object) -> SampleSettings:
    """Those of the portrait."""
    fields = {"generator": NAME, "transform": "gaussian", "device": "cpu", "batch": BATCH, **changes}
    return SampleSettings.model_validate(fields)


def main() -> None:
    """Write it, and print what was measured."""
    G = generators.load(NAME)
    portrait = Portrait(
        of=G.description,
        batch=BATCH,
        seconds=float(f"{seconds():.3g}"),
        memory_bytes=peak_bytes(),
        machine=timing.cpu_model(),
    )
    save_tensors(file_of(NAME), {IMAGES: images()}, kind=KIND, header=portrait.model_dump(mode="json"))
    print(portrait.model_dump_json(indent=2))


if __name__ == "__main__":
    main()
