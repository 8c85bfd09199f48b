"""The start of training on 1.3M pairs: `python -m benchmarks.pairs_start --out benchmarks/results/pairs-start-cpu.md`.

Pairs of tiny images in 130 shards. A new process opens the folder (names and sizes), draws the first batch of the
epoch, and decodes its images, while a thread hashes the shards; wall clock and peak memory of the whole program. What
it did before, `verify` at the level full, is measured in a second process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from benchmarks import timing
from benchmarks.report import VERDICTS, head, measuring, mib, options, progress, table, verdict, written
from copgen import pairs
from copgen.pairs import encoder_versions
from tests.pairs import folders

PAIRS, PER_SHARD, BATCH, TARGET_S, TARGET_MIB = 1_300_000, 10_000, 224, 20.0, 1024
START = """
import resource, sys, time
from pathlib import Path
begun = time.monotonic()
import torch
from copgen.data.decoding import decode
from copgen.data.pairs_folder import PairsFolder
from copgen.data.sampler import EpochSampler
from copgen.pairs import verify
import json
folder, batch = Path(sys.argv[2]), int(sys.argv[3])
def peak(): return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
said = {"import": time.monotonic() - begun, "import_bytes": peak()}
if sys.argv[1] == "start":
    source = PairsFolder(folder, seed=0)
    said["open"] = time.monotonic() - begun
    items, columns = EpochSampler(len(source), 0)[range(batch)], source.columns(range(batch), 2)
    for item, shown in zip(items.tolist(), columns.tolist()):
        for column in shown:
            decode(source.encoded(item, column), source.channels, source.where(item, column))
    said["first"], said["bytes"] = time.monotonic() - begun, peak()
    source.hashes.wait()
    said["hashed"] = time.monotonic() - begun
else:
    assert verify(folder, "full") == []
    said["first"], said["bytes"] = time.monotonic() - begun, peak()
print(json.dumps(said))
"""


def many_pairs(folder: Path, count: int, per_shard: int) -> None:
    """A finished folder; the images of 1,000 pairs, again and again."""
    made = folders.plan(
        pairs=count, pairs_per_shard=per_shard, image_shape=(1, 8, 8), versions=encoder_versions("png", (1, 8, 8))
    )
    made.save(folder)
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1_000, 2, 1, 8, 8), dtype=torch.uint8, generator=draw)
    members = [
        pairs.encode_pair(made, pairs.Pair(k, x, (x_pos,), {"class": k % 10})).members
        for k, (x, x_pos) in enumerate(images)
    ]
    for number in range(made.shards):
        encoded = (pairs.EncodedPair(index, members[index % 1_000]) for index in made.shard_range(number))
        pairs.write_shard(folder, made, number, encoded)
    pairs.finish(folder, made)


def said_by(what: str, folder: Path, batch: int) -> dict[str, float]:
    """The seconds since its start and the peak bytes that a new process reports."""
    command = [sys.executable, "-c", START, what, str(folder), str(batch)]
    done = subprocess.run(command, cwd=timing.ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def report(*, count: int, per_shard: int, batch: int) -> Iterable[str]:
    """The whole benchmark as markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pairs"
        progress(f"Writing {count:,} pairs.")
        many_pairs(folder, count, per_shard)
        total = pairs.Manifest.read(folder / "manifest.json").bytes
        now, before = said_by("start", folder, batch), said_by("full", folder, batch)
    machine = timing.machine(timing.CPU, ["pillow"], how="wall clock, files in the page cache")
    yield from head("Starting on a large pairs folder", machine, toy=count < PAIRS)
    yield from (f"## {count:,} pairs of 8 x 8 pixels, {-(-count // per_shard):,} shards, {total / 1e9:.1f} GB", "")
    rows = [
        ("imports", now["import"], now["import_bytes"]),
        ("folder opened: names and sizes checked", now["open"], None),
        (f"first batch of {batch} decoded", now["first"], now["bytes"]),
        ("every shard hashed, in the background", now["hashed"], None),
        ("`verify` at the level full instead, as before", before["first"], before["bytes"]),
    ]
    cells = [(what, f"{seconds:.1f}", mib(peak, 0)) for what, seconds, peak in rows]
    yield from table(("since the start of the process", "seconds", "peak MiB"), cells)
    whole = count >= PAIRS
    added = now["bytes"] - now["import_bytes"]
    yield from table(
        VERDICTS,
        [
            verdict(
                f"a start on {PAIRS:,} pairs: < {TARGET_S:.0f} s",
                f"{now['first']:.1f} s" if whole else None,
                met=now["first"] < TARGET_S,
            ),
            verdict(
                f"memory beyond the imports: < {TARGET_MIB:,} MiB",
                f"{mib(added, 0)} MiB" if whole else None,
                met=added < TARGET_MIB * 2**20,
            ),
        ],
    )


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    given = options(__doc__, device=False).parse_args(arguments)
    sizes = {"count": 60, "per_shard": 20, "batch": 16} if given.toy else {"count": PAIRS, "per_shard": PER_SHARD}
    with measuring(threads=1):
        return written(report(**{"batch": BATCH, **sizes}), given.out)


if __name__ == "__main__":
    main()
