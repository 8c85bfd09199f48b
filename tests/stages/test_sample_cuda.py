"""`sample` on a GPU: the same command gives the same bytes, in one run or several, compiled or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import pairs
from copgen.pairs import layout
from copgen.stages.sample import SampleSettings, sample
from tests.generators import narrow

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
CHOICES: list[dict[str, Any]] = [
    {},
    {"precision": "bfloat16", "memory_format": "channels_last"},
    {"precision": "bfloat16", "memory_format": "channels_last", "compile": "default"},
]


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_a_shard_is_the_same_every_time(choices: dict[str, Any], tmp_path: Path) -> None:
    fields = {"generator": "bigbigan", "weights": narrow.published("bigbigan", tmp_path), "transform": "gaussian"}
    sizes = {"n": 44, "pairs_per_shard": 24, "batch": 16, "device": "cuda"}
    settings = SampleSettings.model_validate({**fields, **sizes, **choices})
    for out in ("once", "again"):
        sample(settings, out=tmp_path / out)
    manifests = [(tmp_path / out / layout.MANIFEST).read_bytes() for out in ("once", "again")]
    assert manifests[0] == manifests[1]
    before = layout.tar_path(tmp_path / "once", 1).read_bytes()
    sample(settings, out=tmp_path / "once", only=[1])
    assert layout.tar_path(tmp_path / "once", 1).read_bytes() == before
    assert pairs.verify(tmp_path / "once", "decode") == []
    assert pairs.Plan.load(tmp_path / "once").device == "cuda"


def test_images_are_those_of_the_cpu(tmp_path: Path) -> None:
    fields = {"generator": "bigbigan", "weights": narrow.published("bigbigan", tmp_path), "transform": "gaussian"}
    for device in ("cpu", "cuda"):
        settings = SampleSettings.model_validate(
            {**fields, "n": 6, "batch": 4, "device": device, "precision": "float64"}
        )
        sample(settings, out=tmp_path / device)
    for one, other in zip(pairs.read(tmp_path / "cpu"), pairs.read(tmp_path / "cuda"), strict=True):
        assert int((one.anchor.int() - other.anchor.int()).abs().max()) <= 1
        assert int((one.positive.int() - other.positive.int()).abs().max()) <= 1
