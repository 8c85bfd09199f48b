"""The perceptual constraint in place of d(z, z') <= delta: a penalty of T_z on positives unlike their anchors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.distributed.ranks import Ranks
from copgen.runtime.errors import ExitCode, UsageError
from copgen.stages.navigate.stage import navigate
from copgen.stages.navigate.stopping.perceptual import Perceptual
from copgen.stages.navigate.stopping.stopping import Stopping
from tests.stages.navigate.stopping.test_limits import settings
from tests.stages.navigate.stopping.test_perceptual import Distance, Pixels, shifting
from tests.stages.navigating import K
from tests.stages.small import metrics, navigate_settings, newest


def watcher(measure: Distance | None = None, **given: Any) -> Perceptual:
    return Perceptual(settings(**given), Pixels(), shifting(0.0), measure or Distance(), Ranks())  # type: ignore[arg-type]


def test_each_pair_pays_for_what_it_loses_beyond_what_may_be_lost() -> None:
    watched = watcher(similarity_penalty=3.0, similarity_kept=0.6)
    unit = -watched.random  # the similarity at the start is 0
    x = torch.zeros(4, 1, 8, 8)
    lost = torch.tensor([0.0, 0.3, 0.5, 0.9])
    x_pos = (x + (lost * unit).float().view(4, 1, 1, 1)).requires_grad_()
    found = Stopping(settings(), [watched]).penalty(x, x_pos)
    assert found is not None
    assert found.item() == pytest.approx(3.0 * (0.1 + 0.5) / 4, rel=1e-5)
    (gradient,) = torch.autograd.grad(found, x_pos)
    assert (gradient.abs().amax(dim=(1, 2, 3)) > 0).tolist() == [False, False, True, True]


def test_without_a_penalty_nobody_pays() -> None:
    x = torch.zeros(2, 1, 8, 8)
    assert Stopping(settings(), [watcher()]).penalty(x, x) is None
    assert Stopping(settings()).penalty(x, x) is None


def test_a_measure_without_a_gradient_is_refused() -> None:
    class Rounded(Distance):
        def __call__(self, x: Tensor, y: Tensor) -> Tensor:
            with torch.no_grad():
                return super().__call__(x, y)

    watcher(Rounded())
    with pytest.raises(UsageError, match="distance") as caught:
        watcher(Rounded(), similarity_penalty=1.0)
    assert caught.value.code == ExitCode.USAGE


@pytest.mark.parametrize("rule", ["simultaneous", "alternating"])
def test_it_holds_the_navigator_back_and_leaves_f_alone(flow: Path, tmp_path: Path, rule: str) -> None:
    given: dict[str, Any] = {"update": rule, "similarity": "ms-ssim", "similarity_kept": 0.9, "check_every": K}
    plain = navigate_settings(flow, samples=24 * K, init="target_std", lr_navigator=1e-2, **given)
    held = plain.model_copy(update={"similarity_penalty": 50.0})
    lines = {}
    for name, of in (("plain", plain), ("held", held)):
        navigate(of.model_copy(update={"samples": K}), out=tmp_path / f"{name} 1")
        navigate(of, out=tmp_path / name)
        lines[name] = metrics(tmp_path / name)
    assert "penalty" not in lines["plain"][-1]
    assert lines["held"][0]["loss_encoder"] == lines["plain"][0]["loss_encoder"]
    assert lines["held"][-1]["similarity_kept"] > lines["plain"][-1]["similarity_kept"] + 0.1
    f, other = (newest(tmp_path / f"{name} 1")["encoder"] for name in lines)
    assert all(torch.equal(value, other[name]) for name, value in f.items() if "running" not in name)
