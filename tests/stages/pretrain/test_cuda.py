"""Pretraining on a GPU: every method learns, views agree with those of the CPU, an interrupted run resumes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from copgen import views
from copgen.data.loaders.decoding import DecodingLoader
from copgen.data.loaders.loader import LoaderConfig
from copgen.data.loaders.prefetched import Prefetched
from copgen.methods.defaults import DEFAULTS
from copgen.runtime.errors import Stopped
from copgen.stages.pretrain.stage import pretrain
from tests.data.encoded import Files
from tests.stages.pretraining import ARTEFACT, KINDS, K, pretrain_settings
from tests.stages.small import At, metrics, send

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["sgd", *(name for name in KINDS if name in DEFAULTS)])
def test_a_method_starts_as_on_the_cpu_and_learns(
    pretrain_pairs: Path, tmp_path: Path, kind: str, precision: str
) -> None:
    how = {**KINDS[kind], "precision": precision}
    pretrain(pretrain_settings(pretrain_pairs, **how), out=tmp_path / "cpu")
    pretrain(pretrain_settings(pretrain_pairs, **how, device="cuda"), out=tmp_path / "cuda")
    here, there = metrics(tmp_path / "cpu"), metrics(tmp_path / "cuda")
    assert there[0]["loss"] == pytest.approx(here[0]["loss"], abs=1e-3 if precision == "float32" else 0.05)
    assert len(there) == len(here)
    assert (tmp_path / "cuda" / ARTEFACT).exists()


def test_an_interrupted_run_resumes(pretrain_pairs: Path, tmp_path: Path) -> None:
    settings = pretrain_settings(pretrain_pairs, device="cuda", updates=60)
    with pytest.raises(Stopped):
        pretrain(settings, out=tmp_path, events=At(20 * K, lambda: send(signal.SIGTERM)))
    pretrain(settings, out=tmp_path)
    assert [line["update"] for line in metrics(tmp_path)] == list(range(1, 61))


def test_chunks_and_compilation_train(pretrain_pairs: Path, tmp_path: Path) -> None:
    choices: dict[str, dict[str, object]] = {"chunk": {"chunk": 8}, "compile": {"compile": "default"}}
    for name, how in choices.items():
        pretrain(pretrain_settings(pretrain_pairs, device="cuda", **how), out=tmp_path / name)
        assert all(line["loss"] < 20 for line in metrics(tmp_path / name))


@pytest.mark.parametrize("differ", [False, True])
def test_batches_made_ahead_on_a_stream_of_their_own_are_those_of_the_cpu(differ: bool) -> None:
    policy = views.policy("simclr").model_copy(update={"size": 32})
    source = Files(shapes=((64, 64), (48, 80)) if differ else ((64, 64),))
    loaders = {
        device: DecodingLoader(LoaderConfig(source=source, policy=policy, seed=3, count=2, device=device))
        for device in (CPU, GPU)
    }
    ahead = Prefetched(loaders[GPU], GPU, stride=5, end=len(source))
    for start in range(0, len(source) - 5, 5):
        expected, found = loaders[CPU][range(start, start + 5)], ahead[range(start, start + 5)]
        for one, other in zip(found.views, expected.views, strict=True):
            assert one.is_cuda
            torch.testing.assert_close(one.cpu(), other, rtol=0, atol=2e-3)
    ahead.close()
    loaders[CPU].close()
