"""Fits that take hours are announced; those of small data are not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from copgen import encoders
from copgen.stages.eval import few_shot, long_fits, transfer
from copgen.stages.eval.settings.few_shot import EvalFewShotSettings
from copgen.stages.eval.settings.transfer import EvalTransferSettings
from tests.stages.eval.test_linear import CONFIG
from tests.stages.small import Recorder


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrain")
    torch.manual_seed(0)
    encoders.save_encoder(folder, encoders.build("digits", 1), CONFIG, {})
    return folder


def warnings(kind: str, ckpt: Path, out: Path) -> list[str]:
    events = Recorder()
    if kind == "few-shot":
        asked = EvalFewShotSettings(ckpt=ckpt, device="cpu", percent=(10,), draws=2, c_grid=(0.01, 0.1))
        few_shot.eval_few_shot(asked, out=out, events=events)
    else:
        of = EvalTransferSettings(ckpt=ckpt, device="cpu", datasets=("digits",), c_grid=(0.01, 0.1))
        transfer.eval_transfer(of, out=out, events=events)
    return events.warnings


@pytest.mark.parametrize(("kind", "fits", "labels"), [("few-shot", "4", "126"), ("transfer", "3", "1,429")])
def test_hours_are_announced_with_the_alternative(
    kind: str, fits: str, labels: str, ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert warnings(kind, ckpt, tmp_path / "small") == []
    monkeypatch.setattr(long_fits, "SMALL", 100)
    assert warnings(kind, ckpt, tmp_path / "quick") == []  # many labels, but few features and classes
    monkeypatch.setitem(long_fits.SPEED, "cpu", 1.0)
    (told,) = warnings(kind, ckpt, tmp_path / "slow")
    assert told.startswith(f"{fits} fits")
    assert f"{labels} labels" in told
    assert " hours on one core." in told
    assert "eval linear --probe sgd" in told


def test_the_estimate_for_a_tenth_of_imagenet_is_hours_for_each_fit() -> None:
    assert 1.0 < long_fits.hours_of(128_000, 2048, 1000) < 24.0
    assert 0.02 < long_fits.hours_of(128_000, 2048, 1000, device="cuda") < 0.2
