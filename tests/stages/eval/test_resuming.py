"""A killed evaluation resumes where it was, and ends with the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen import encoders
from copgen.encoders import EncoderConfig
from copgen.evaluation import features, journal, neighbours, parts, probes
from copgen.evaluation.linear_heads import LinearHeads
from copgen.stages.eval import opening, sgd
from copgen.stages.eval.few_shot import eval_few_shot
from copgen.stages.eval.knn import eval_knn
from copgen.stages.eval.linear import eval_linear
from copgen.stages.eval.settings.few_shot import EvalFewShotSettings
from copgen.stages.eval.settings.knn import EvalKnnSettings
from tests.stages.eval import drawn
from tests.stages.eval.test_linear import Recorder, quick

Evaluate = Callable[[Path], dict[str, Any]]
KILLED = """
import os, signal, sys
from pathlib import Path
from copgen.evaluation import parts
from copgen.stages.eval import opening
from copgen.stages.eval.knn import eval_knn
from copgen.stages.eval.settings.knn import EvalKnnSettings

parts.SECONDS = 0.0
original = opening.embedded

def until_the_third_batch(*given):
    for number, features in enumerate(original(*given)):
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield features

opening.embedded = until_the_third_batch
eval_knn(EvalKnnSettings(ckpt=Path(sys.argv[1]), dataset=sys.argv[2], device="cpu", batch=10))
"""


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained encoder, and photos."""
    folder = tmp_path_factory.mktemp("coloured")
    config = EncoderConfig(arch="digits", in_channels=3, image_size=16, views="none")
    torch.manual_seed(0)
    encoders.save_encoder(folder, encoders.build("digits", 3), config, {})
    drawn.photos(folder / "photos")
    return folder


def test_the_extraction_of_features_resumes_after_a_kill(
    coloured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, ckpt = str(coloured / "photos"), tmp_path / "encoder.safetensors"
    ckpt.write_bytes((coloured / "encoder.safetensors").read_bytes())
    ended = subprocess.run([sys.executable, "-c", KILLED, ckpt, photos], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not list(tmp_path.rglob("results.json"))
    batches, original = list[int](), features.embedded

    def counted(*given: Any) -> Any:
        for some in original(*given):
            batches.append(len(some))
            yield some

    monkeypatch.setattr(opening, "embedded", counted)
    events = Recorder()
    settings = EvalKnnSettings(ckpt=ckpt, dataset=photos, device="cpu", batch=10)
    result = eval_knn(settings, events=events)
    assert any("Resuming after the features of 20 of 54 images of train" in line for line in events.lines)
    assert sum(batches) == 54 - 20 + 6 + 18
    assert not list(tmp_path.rglob("*.parts"))
    assert eval_knn(settings.replaced(ckpt=coloured), out=tmp_path / "whole") == result


def linear(ckpt: Path) -> dict[str, Any]:
    return eval_linear(quick(ckpt, dataset=str(ckpt / "photos"), labels_per_class=(1, 5)), out=ckpt / "out")


def plain_sgd(ckpt: Path) -> dict[str, Any]:
    return eval_linear(quick(ckpt, dataset=str(ckpt / "photos"), probe="sgd", epochs=6), out=ckpt / "out")


def few_shot(ckpt: Path) -> dict[str, Any]:
    fields = {"ckpt": ckpt, "dataset": str(ckpt / "photos"), "labels": (1, 5), "draws": 3, "c_grid": (0.1,)}
    return eval_few_shot(EvalFewShotSettings.model_validate({**fields, "device": "cpu"}), out=ckpt / "out")


def knn(ckpt: Path) -> dict[str, Any]:
    settings = EvalKnnSettings(ckpt=ckpt, dataset=str(ckpt / "photos"), device="cpu", ks=(1, 5))
    return eval_knn(settings, out=ckpt / "out")


@pytest.mark.parametrize(
    ("evaluate", "place", "name", "calls", "left"),
    [
        (linear, probes, "choose", 7, 4),  # the probe of all labels, and 3 draws of 1 and of 5
        (few_shot, probes, "choose", 6, 3),
        (knn, neighbours, "most_similar", 7, 4),  # 6 images of validation and 18 of test in blocks of 4
        (plain_sgd, LinearHeads, "top1", 6, 3),
    ],
)
def test_probes_resume(
    evaluate: Evaluate,
    place: object,
    name: str,
    calls: int,
    left: int,
    coloured: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (journal, parts, sgd):
        monkeypatch.setattr(module, "SECONDS", 0.0)
    monkeypatch.setattr(neighbours, "QUERIES", 4)
    original, made = getattr(place, name), list[int]()

    def stopped(*given: Any, **how: Any) -> Any:
        made.append(1)
        if len(made) == calls - left + 1:
            raise KeyboardInterrupt
        return original(*given, **how)

    whole = evaluate(coloured)
    bytes_of_whole = (coloured / "out/results.json").read_bytes()
    (coloured / "out/results.json").unlink()  # or it would be read
    monkeypatch.setattr(place, name, stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(coloured)
    made[:] = [1] * calls
    assert evaluate(coloured) == whole
    assert len(made) - calls == left
    assert (coloured / "out/results.json").read_bytes() == bytes_of_whole
    assert {path.name for path in (coloured / "out").iterdir()} <= {"results.json", "features"}
