"""The plain recipe in worker processes: the batches of the torch loader up to PIL's rounding, and its failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen.data.loaders.decoding import DecodingLoader
from copgen.data.loaders.loader import Batch, LoaderConfig
from copgen.data.loaders.torchvision import TorchvisionLoader
from copgen.data.sampler import EpochSampler
from copgen.data.skipped import Skipped
from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from copgen.views import policy
from tests.data.encoded import Files

CPU = torch.device("cpu")
SIMCLR = policy("simclr", size=48)


def loader(source: Files, *, workers: int = 1, skipped: Skipped | None = None) -> TorchvisionLoader:
    return TorchvisionLoader(config(source, workers=workers, skipped=skipped or Skipped(0)))


def config(source: Files, **more: Any) -> LoaderConfig[Files]:
    return LoaderConfig(**{"source": source, "policy": SIMCLR, "seed": 3, "count": 2, "device": CPU, **more})


def test_the_processes_on_a_machine_share_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))
    assert config(Files(2)).parallel == 32
    for name, value in {"RANK": "1", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    assert (config(Files(2)).parallel, config(Files(2), workers=5).parallel) == (4, 5)


@pytest.fixture(scope="module", params=[0, 3], ids=["real images", "pairs"])
def source(request: pytest.FixtureRequest) -> Files:
    return Files(24, positives=request.param, shapes=((64, 64), (40, 70)))


@pytest.fixture(scope="module")
def batch(source: Files) -> Iterator[Batch]:
    with closing(loader(source)) as batches:
        yield batches[range(5, 24)]


def test_it_gives_the_batches_of_the_torch_loader(source: Files, batch: Batch) -> None:
    torchs = DecodingLoader(config(source, workers=1))[range(5, 24)]
    assert torchs.labels is not None
    assert batch.labels is not None
    assert torch.equal(batch.labels, torchs.labels)
    for ours, theirs in zip(batch.views, torchs.views, strict=True):
        assert ours.shape == (19, 3, 48, 48)
        assert ours.dtype == torch.float32
        assert (ours - theirs).abs().mean() < 2 / 255 / 0.22


def test_a_batch_is_a_function_of_its_samples_whatever_the_workers(source: Files, batch: Batch) -> None:
    with closing(loader(source, workers=2)) as batches:
        for part in (range(10, 24), range(5, 10)):
            for ours, theirs in zip(batches[part].views, batch.views, strict=True):
                assert torch.equal(ours, theirs[part.start - 5 : part.stop - 5])


def test_a_damaged_image_is_named_or_skipped_with_the_label_of_its_substitute() -> None:
    source = Files()
    source.files[4][0] = source.files[4][0][:200]
    with closing(loader(source)) as batches, pytest.raises(DataError, match="item 4, image 0"):
        batches[range(12)]
    skipped = Skipped(1)
    with closing(loader(source, skipped=skipped)) as batches:
        labels = batches[range(12)].labels
    items = EpochSampler(12, 3)[range(12)]
    assert set(skipped.reasons) == {4}
    assert labels is not None
    assert source.labels is not None
    assert torch.equal(labels, source.labels[torch.where(items == 4, 5, items)])


def test_a_worker_that_ends_is_a_fault_of_the_environment() -> None:
    class Deadly(Files):
        def encoded(self, item: int, column: int) -> bytes:
            os.kill(os.getpid(), signal.SIGKILL)
            return b""

    source = Deadly()
    with closing(loader(source)) as batches, pytest.raises(EnvironmentFault, match="--workers"):
        batches[range(4)]


def test_workers_leave_signals_to_the_process_that_started_them() -> None:
    class Signalled(Files):
        def encoded(self, item: int, column: int) -> bytes:
            for number in (signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
            return super().encoded(item, column)

    with closing(loader(Signalled())) as batches:
        assert len(batches[range(4)].views[0]) == 4


ORPHAN = """
import os, signal, torch
from copgen.data.loaders.torchvision import TorchvisionLoader
from copgen.data.loaders.loader import LoaderConfig
from copgen.views import policy
from tests.data.encoded import Files
loader = TorchvisionLoader(LoaderConfig(source=Files(), policy=policy("simclr", size=48), seed=0, count=2,
                                        device=torch.device("cpu"), workers=1))
loader[range(4)]
print(*loader._workers._processes, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_the_process_that_started_them() -> None:
    done = subprocess.run([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True, check=False)
    (worker,) = map(int, done.stdout.split())
    deadline = time.monotonic() + 20
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(worker)


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_different_sizes_need_a_size_of_the_views(source: Files) -> None:
    with pytest.raises(UsageError, match=r"different sizes.*'simclr'"):
        TorchvisionLoader(config(source, policy=policy("simclr")))
