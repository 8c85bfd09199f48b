"""The time of `copgen verify`: `python -m benchmarks.verify --out benchmarks/results/verify-cpu.md`.

`--quick` on a folder of 100,000 shards: real plan, records and manifest; the tars and indices are sparse files of the
recorded sizes, as `--quick` only checks sizes. Measures wall clock and peak memory of the whole command. Then the three
levels on real shards of 128 x 128 RGB pairs, in this process, interleaved with their lower bounds: hashing the same
files, and decoding the same images with Pillow alone.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import timing
from copgen import pairs
from copgen.pairs import layout
from copgen.pairs.scan import scan
from copgen.pairs.shard_reader import ShardReader

SHARDS, PAIRS, SIDE = 100_000, 1_000, 128
TARGET_S = 60.0
MIB = 2**20
HASH = "0" * 64


def plan(count: int, per_shard: int, side: int) -> pairs.Plan:
    """A plan of RGB pairs."""
    return pairs.Plan.model_validate(
        {
            "seed": 0,
            "pairs": count,
            "pairs_per_shard": per_shard,
            "batch": 1,
            "generator": {"name": "none", "sha256": HASH},
            "prior": {"name": "normal"},
            "transform": {"name": "none"},
            "image_shape": (3, side, side),
            "device": "cpu",
            "versions": pairs.encoder_versions("png", (3, side, side)),
        }
    )


def many_shards(folder: Path, shards: int) -> None:
    """A finished folder of that many shards of one pair; tars and indices are sparse files of the right sizes."""
    made = plan(shards, 1, 8)
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


def command(folder: Path) -> tuple[float, int]:
    """Seconds and peak memory in bytes of `copgen verify --quick`, including the start of Python."""
    words = [sys.executable, "-m", "copgen_cli", "verify", str(folder), "--quick", "--quiet"]
    begin = time.perf_counter()
    child = subprocess.Popen(words, cwd=Path(__file__).resolve().parent.parent, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"copgen verify ended with {child.returncode}")
    return time.perf_counter() - begin, usage.ru_maxrss * 1024


def real_shards(folder: Path, count: int, per_shard: int) -> pairs.Plan:
    """A finished folder of smooth random images with some noise, which compress about as photographs do."""
    made = plan(count, per_shard, SIDE)
    made.save(folder)
    for number in range(made.shards):
        pairs.write_shard(folder, made, number, _pairs(made, number))
    pairs.finish(folder, made)
    return made


def _pairs(made: pairs.Plan, number: int) -> Iterator[pairs.Pair]:
    for index in made.shard_range(number):
        draw = torch.Generator().manual_seed(index)
        coarse = torch.rand(2, 3, 8, 8, generator=draw)
        smooth = torch.nn.functional.interpolate(coarse, size=SIDE, mode="bicubic")
        images = pairs.to_uint8(2 * smooth - 1 + 0.04 * torch.randn(smooth.shape, generator=draw))
        yield pairs.Pair(index, images[0], (images[1],), {"d": 0.2})


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


def report(*, shards: int, count: int, rounds: int) -> str:
    """The whole benchmark as markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "many"
        many_shards(folder, shards)
        seconds, memory = min(command(folder) for _ in range(min(2, rounds)))
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
        times = timing.interleaved(calls, torch.device("cpu"), rounds=(rounds, rounds), seconds=1.0)
    lines = [
        "# Verification",
        "",
        f"Measured on: {timing.machine(torch.device('cpu'), ['pillow'])}",
        "",
        f"## `copgen verify --quick` of {shards:,} shards",
        "",
        "The whole command, best of two, files in the page cache.",
        "",
        "| shards | seconds | peak MiB | target | verdict |",
        "|---|---|---|---|---|",
        f"| {shards:,} | {seconds:.1f} | {memory / MIB:.0f} | {_target(shards, seconds)} |",
        "",
        f"## {count:,} pairs of {SIDE} x {SIDE} RGB, {total / 1e6:.0f} MB",
        "",
        "| what | ms | p10-p90 | MB/s | pairs/s |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {one.median:.1f} | {one.low:.1f}-{one.high:.1f} | {_rates(name, total, count, one.median)} |"
            for name, one in times.items()
        ),
        "",
    ]
    return "\n".join(lines)


def _images(folder: Path, made: pairs.Plan, number: int) -> Iterator[bytes]:
    with ShardReader(folder, made, number, scan(folder, made, number)) as shard:
        for row in range(len(made.shard_range(number))):
            yield from (shard.data(row, 0), shard.data(row, 1))


def _rates(name: str, total: int, count: int, ms: float) -> str:
    """MB/s and pairs/s, if every byte is read."""
    return "- | -" if "quick" in name else f"{total / ms / 1e3:.0f} | {count / ms * 1e3:,.0f}"


def _target(shards: int, seconds: float) -> str:
    if shards < SHARDS:
        return "- | not measured"
    return f"< {TARGET_S:.0f} s | {'met' if seconds < TARGET_S else 'missed'}"


def main(arguments: list[str]) -> str:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--toy", action="store_true", help="seconds; tests the benchmark")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sizes = {"shards": 20, "count": 8, "rounds": 1} if given.toy else {"shards": SHARDS, "count": PAIRS, "rounds": 5}
    text = report(**sizes)
    if given.out is not None:
        given.out.write_text(text, "utf-8")
    return text


if __name__ == "__main__":
    print(main(sys.argv[1:]))
