"""The time of `copgen verify`: `python -m benchmarks.verify --out benchmarks/results/verify-cpu.md`.

`--quick` on a folder of 100,000 shards: real plan, records and manifest; the tars and indices are sparse files of the
recorded sizes, as `--quick` only checks sizes. Measures wall clock and peak memory of the whole command. Then the three
levels on real shards of 128 x 128 RGB pairs, in this process, interleaved with their lower bounds: hashing the same
files, and decoding the same images with Pillow alone.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import sampling_writer, timing
from benchmarks.report import VERDICTS, head, measuring, mib, options, table, verdict, written
from benchmarks.sampling_writer import SIDE
from copgen import pairs
from copgen.pairs import layout
from copgen.pairs.scan import scan
from copgen.pairs.shard_reader import ShardReader

SHARDS, PAIRS = 100_000, 1_000
TARGET_S = 60.0
HASH = "0" * 64


def many_shards(folder: Path, shards: int) -> None:
    """A finished folder of that many shards of one pair; tars and indices are sparse files of the right sizes."""
    made = sampling_writer.plan("png", shards, 1)
    made.save(folder)
    for name in (layout.SHARDS, layout.RECORDS):
        (folder / name).mkdir()
    digest, records = made.digest, []
    for number in range(shards):
        record = pairs.Record(
            shard=number, plan=digest, count=1, bytes=10_240, sha256=HASH, index_bytes=120, index_sha256=HASH
        )
        for path, size in ((layout.tar_path(folder, number), 10_240), (layout.index_path(folder, number), 120)):
            with open(path, "wb") as stream:
                stream.truncate(size)
        layout.record_path(folder, number).write_text(record.text())
        records.append(record)
    pairs.Manifest.of(made, tuple(records)).write(folder / layout.MANIFEST)


def real_shards(folder: Path, count: int, per_shard: int) -> pairs.Plan:
    """A finished folder of images which compress about as photographs do."""
    made = sampling_writer.plan("png", count, per_shard)
    made.save(folder)
    shards = sampling_writer.given(made, range(made.shards), sampling_writer.images())
    sampling_writer.write(folder, made, shards, encoders=1)
    pairs.finish(folder, made)
    return made


def hash_alone(folder: Path, made: pairs.Plan) -> None:
    """The sha256 of every tar."""
    for number in range(made.shards):
        with open(layout.tar_path(folder, number), "rb") as stream:
            hashlib.file_digest(stream, "sha256")


def decode_alone(members: list[bytes]) -> None:
    """Every image with Pillow, from memory."""
    for data in members:
        with Image.open(io.BytesIO(data)) as image:
            np.asarray(image)


def report(*, shards: int, count: int, rounds: int) -> Iterable[str]:
    """The whole benchmark as markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "many"
        many_shards(folder, shards)
        program = ["-m", "copgen_cli", "verify", str(folder), "--quick", "--quiet"]
        seconds, memory = min(timing.launched(program) for _ in range(min(2, rounds)))
    yield from head("Verification", timing.machine(timing.CPU, ["pillow"]))
    yield from (f"## `copgen verify --quick` of {shards:,} shards", "")
    yield from ("The whole command, best of two, files in the page cache.", "")
    yield from table(("shards", "seconds", "peak MiB"), [(f"{shards:,}", f"{seconds:.1f}", mib(memory, 0))])
    asked = f"`copgen verify --quick` of {SHARDS:,} shards: < {TARGET_S:.0f} s"
    reached = f"{seconds:.1f} s" if shards >= SHARDS else None
    yield from table(VERDICTS, [verdict(asked, reached, met=seconds < TARGET_S)])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "real"
        made = real_shards(folder, count, max(1, count // 2))
        total = pairs.Manifest.read(folder / layout.MANIFEST).bytes
        images = [data for number in range(made.shards) for data in _images(folder, made, number)]
        calls: dict[str, timing.Call] = {
            "verify, quick": lambda: pairs.verify(folder, "quick"),
            "sha256 of the tars alone": lambda: hash_alone(folder, made),
            "verify, full": lambda: pairs.verify(folder, "full"),
            "Pillow alone, from memory": lambda: decode_alone(images),
            "verify, decode": lambda: pairs.verify(folder, "decode"),
        }
        times = timing.interleaved(calls, timing.CPU, rounds=(rounds, rounds), seconds=1.0)
    yield from (f"## {count:,} pairs of {SIDE} x {SIDE} RGB, {total / 1e6:.0f} MB", "")
    rows = [(name, *one.cells, *_rates(name, total, count, one.median)) for name, one in times.items()]
    yield from table(("what", "ms", "p10-p90", "MB/s", "pairs/s"), rows)


def _images(folder: Path, made: pairs.Plan, number: int) -> Iterator[bytes]:
    with ShardReader(folder, made, number, scan(folder, made, number)) as shard:
        for row in range(len(made.shard_range(number))):
            yield from (shard.data(row, 0), shard.data(row, 1))


def _rates(name: str, total: int, count: int, ms: float) -> tuple[str | None, str | None]:
    """MB/s and pairs/s, if every byte is read."""
    return (None, None) if "quick" in name else (f"{total / ms / 1e3:.0f}", f"{count / ms * 1e3:,.0f}")


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    given = options(__doc__, device=False).parse_args(arguments)
    sizes = {"shards": 20, "count": 8, "rounds": 1} if given.toy else {"shards": SHARDS, "count": PAIRS, "rounds": 5}
    with measuring(threads=1):
        return written(report(**sizes), given.out)


if __name__ == "__main__":
    main()
