"""`sample` on a GPU: the same command gives the same bytes in every process, compiled or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from copgen import pairs
from copgen.pairs import layout
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample
from tests.generators import narrow

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
ROOT = Path(__file__).parents[3]
SIZES = ("--n", "44", "--pairs-per-shard", "24", "--batch", "16", "--tz", "gaussian", "--device", "cuda")


@pytest.mark.parametrize("choices", ["", "--precision bf16", "--precision bf16 --compile default"])
def test_a_shard_is_the_same_in_every_process(choices: str, tmp_path: Path) -> None:
    weights = narrow.published("bigbigan", tmp_path)
    copgen = [sys.executable, "-m", "copgen_cli", "sample"]
    words = ["--generator", "bigbigan", "--weights", str(weights), *SIZES, *choices.split()]

    def run(*words: str, cache: str) -> None:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / cache)}
        done = subprocess.run([*copgen, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    for name in ("once", "again"):
        run(*words, "--out", str(tmp_path / name), cache=name)
    manifests = [(tmp_path / name / layout.MANIFEST).read_bytes() for name in ("once", "again")]
    assert manifests[0] == manifests[1]
    before = layout.tar_path(tmp_path / "once", 1).read_bytes()
    run("--only", "1", "--out", str(tmp_path / "once"), cache="only")
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
