"""`sample --compile`: the same pairs from one graph of one batch size, also for incomplete batches."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import encoders, pairs
from copgen.encoders import EncoderConfig, save_encoder
from copgen.generators.compiled import CompiledGenerator
from copgen.latents.transforms import Gaussian
from copgen.pairs.store import open_store
from copgen.runtime.errors import EnvironmentFault, UsageError
from copgen.stages.sample.batches import make_batches
from copgen.stages.sample.pair_source import Source
from copgen.stages.sample.plan_settings import settings_of_folder
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import estimate, sample
from copgen.stages.sample.transform import Positives
from tests.generators import narrow
from tests.pairs import folders
from tests.stages.painter import Painter
from tests.stages.small import Recorder, files

ROOT = Path(__file__).parents[3]
SIZES = {"n": 11, "pairs_per_shard": 6, "batch": 4}  # shards of 4 + 2 and of 4 + 1


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return narrow.published("biggan-deep-128", tmp_path_factory.mktemp("weights"))


def settings(weights: Path, **changes: Any) -> SampleSettings:
    fields = {"generator": "biggan-deep-128", "weights": weights, "transform": "gaussian", "device": "cpu"}
    return SampleSettings.model_validate({**fields, **SIZES, **changes})


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shape of z, the only matrix that is not a parameter, in each traced graph; the graph runs eagerly."""
    traced: list[torch.Size] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Any], **_: object) -> Any:
        given = [x for x in inputs if isinstance(x, torch.Tensor) and not isinstance(x, torch.nn.Parameter)]
        traced.append(next(x.shape for x in given if x.dim() == 2))
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    torch.compiler.reset()
    return traced


def test_pairs_are_those_of_the_eager_generator_from_one_graph(
    weights: Path, tmp_path: Path, graphs: list[torch.Size]
) -> None:
    sample(settings(weights), out=tmp_path / "eager")
    assert graphs == []
    events = Recorder()
    sample(settings(weights, compile="default"), out=tmp_path / "compiled", events=events)
    assert [shape[0] for shape in graphs] == [4]
    assert any("Compiling G" in sentence for sentence in events.sentences)
    assert pairs.verify(tmp_path / "compiled", "decode") == []
    for eager, compiled in zip(pairs.read(tmp_path / "eager"), pairs.read(tmp_path / "compiled"), strict=True):
        assert eager.metadata == compiled.metadata
        for one, other in ((eager.anchor, compiled.anchor), (eager.positive, compiled.positive)):
            assert int((one.int() - other.int()).abs().max()) <= 1  # a batch of another size has other low bits

    again = Recorder()
    sample(settings(weights, compile="default"), out=tmp_path / "compiled", events=again)
    assert not any("compiled" in sentence for sentence in again.sentences)  # there is nothing left to make


def test_draws_that_a_filter_refuses_need_no_further_graph(tmp_path: Path, graphs: list[torch.Size]) -> None:
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    save_encoder(tmp_path, encoders.build("digits", 1).eval(), config, {})
    G, f = Painter(torch.float32), encoders.load(tmp_path)
    positives = Positives((Gaussian(0.3, 0),), pairs.TransformSource(name="gaussian"))

    def drawn(rules: pairs.FilterRules, compiled: CompiledGenerator | None) -> list[pairs.Pair]:
        plan = folders.plan(pairs=30, pairs_per_shard=30, batch=16, image_shape=(1, 8, 8), filter=rules)
        return [pair for batch in make_batches(Source(G, positives, f, compiled), plan, 0) for pair in batch]

    free = drawn(pairs.FilterRules(attempts=1), None)
    rules = pairs.FilterRules(min_similarity=sorted(pair.metadata["similarity"] for pair in free)[15], attempts=500)
    eager, compiled = drawn(rules, None), drawn(rules, CompiledGenerator(G, 16))
    assert [shape[0] for shape in graphs] == [16]
    assert sum(pair.rejected for pair in eager) > 5
    for one, other in zip(eager, compiled, strict=True):
        assert (one.index, one.rejected) == (other.index, other.rejected)
        assert int((one.positive.int() - other.positive.int()).abs().max()) <= 1


def test_it_is_part_of_the_plan(weights: Path, tmp_path: Path, graphs: list[torch.Size]) -> None:
    sample(settings(weights, compile="default"), out=tmp_path)
    assert pairs.Plan.load(tmp_path).generator.settings["compile"] == "default"
    assert settings_of_folder(open_store(tmp_path))["compile"] == "default"
    assert len(graphs) == 1
    with pytest.raises(UsageError, match=r"generator\.settings\.compile is 'default', not None"):
        sample(settings(weights), out=tmp_path)


def test_the_estimate_is_of_whole_batches_and_without_the_time_of_compiling(
    weights: Path, graphs: list[torch.Size]
) -> None:
    said = estimate(settings(weights, compile="default"))
    assert said.rests_on.startswith("11 pairs of the run")
    assert "compile G" in said.rests_on
    assert [shape[0] for shape in graphs] == [4]


def test_a_shard_smaller_than_the_batch_is_not_filled_up_to_it(
    weights: Path, tmp_path: Path, graphs: list[torch.Size]
) -> None:
    sample(settings(weights, compile="default", n=5, pairs_per_shard=3, batch=100), out=tmp_path)
    assert [shape[0] for shape in graphs] == [3]


@pytest.mark.parametrize("variable", ["TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE"])
def test_a_disabled_compiler_is_refused(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(EnvironmentFault, match=rf"{variable}.*--compile"):
        sample(settings(weights, compile="default"), out=tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()


def test_a_flow_is_refused(flow: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'digits' .*--compile"):
        sample(settings(flow, generator="digits", compile="default"), out=tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()


def test_a_failing_compiler_is_reported(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(graph: torch.fx.GraphModule, inputs: list[Any], **_: object) -> Any:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    torch.compiler.reset()
    with pytest.raises(EnvironmentFault, match=r": No working C\+\+ compiler found\.") as caught:
        sample(settings(weights, compile="default"), out=tmp_path)
    assert "--compile" in caught.value.fix
    assert sorted(files(tmp_path)) == ["places.json", "plan.json"]


@pytest.mark.soak
@pytest.mark.timeout(900)  # inductor calls a C++ compiler for every kernel
def test_processes_that_compile_for_themselves_make_the_same_bytes(weights: Path, tmp_path: Path) -> None:
    words: list[object] = [
        "sample",
        "--generator",
        "biggan-deep-128",
        "--weights",
        weights,
        "--tz",
        "gaussian",
        "--device",
        "cpu",
    ]
    words += ["--n", 11, "--pairs-per-shard", 6, "--batch", 4]
    ways: dict[str, list[object]] = {
        "eager": [],
        "alone": ["--compile", "default"],
        "two": ["--compile", "default", "--workers", 2],
    }
    for name, more in ways.items():
        command = [sys.executable, "-m", "copgen_cli", *map(str, [*words, "--out", tmp_path / name, *more])]
        own_cache = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / f"{name}-compiled")}
        done = subprocess.run(command, cwd=ROOT, env=own_cache, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    manifests = [(tmp_path / name / "manifest.json").read_bytes() for name in ("alone", "two")]
    assert manifests[0] == manifests[1]
    for eager, compiled in zip(pairs.read(tmp_path / "eager"), pairs.read(tmp_path / "alone"), strict=True):
        assert int((eager.positive.int() - compiled.positive.int()).abs().max()) <= 1
