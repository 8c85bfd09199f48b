"""Out of memory in `sample`: exit code 4 and the batch, which is part of the plan; one of several workers just ends."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
import torch

from copgen.pairs import layout
from copgen.runtime.errors import EnvironmentFault
from copgen.stages.sample import batches, estimate, stage
from copgen.stages.sample.settings import SampleSettings

SETTINGS = SampleSettings(generator="digits", transform="gaussian", std=0.1, n=8, batch=4, device="cpu")


@pytest.fixture
def without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*given: object) -> NoReturn:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(batches, "make", make)


@pytest.mark.usefixtures("without_memory")
def test_a_run_and_its_estimate_name_the_batch(tmp_path: Path) -> None:
    for call in (lambda: stage.sample(SETTINGS, out=tmp_path / "pairs"), lambda: estimate.estimate(SETTINGS)):
        with pytest.raises(EnvironmentFault, match="out of memory with batches of 4 pairs") as caught:
            call()
        assert "--batch" in caught.value.fix
        assert "--overwrite" in caught.value.fix


def test_shards_are_regenerated_with_the_batch_of_the_plan(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    stage.sample(SETTINGS, out=tmp_path)
    before = layout.tar_path(tmp_path, 0).read_bytes()
    request.getfixturevalue("without_memory")
    with pytest.raises(EnvironmentFault, match="out of memory") as caught:
        stage.sample(SETTINGS, out=tmp_path, only=[0])
    assert "--batch" not in caught.value.fix
    assert layout.tar_path(tmp_path, 0).read_bytes() == before
