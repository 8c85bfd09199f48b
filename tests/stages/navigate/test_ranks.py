"""Several processes follow one process with the same global batch; what ends one ends all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from copgen.distributed.launch import launch
from copgen.distributed.ranks import Ranks, check_divides
from copgen.runtime.errors import EnvironmentFault, ExitCode, UsageError
from tests.stages import over_ranks

RANK = over_ranks.__name__


@pytest.fixture(scope="module", params=[pytest.param(2, marks=pytest.mark.soak), 4])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of the ranks, in their order."""
    folder, world = tmp_path_factory.mktemp("ranks"), request.param
    assert launch(RANK, ["all", str(folder)], world) == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return over_ranks.follow(Ranks())


@pytest.mark.parametrize("form", over_ranks.FORMS)
def test_ranks_follow_one_process_for_twenty_updates(
    form: str, ranks: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    expected = alone[form]
    assert bool((expected["losses"].std(dim=0) > 1e-4).all())  # to follow what stands still is no art
    for rank in ranks:
        for name, value in expected.items():
            found = rank["follow"][form][name]
            torch.testing.assert_close(found, value, rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("kind", [*over_ranks.NORMS])
def test_batch_norm_over_the_ranks_is_batch_norm_of_the_whole(kind: str, ranks: list[dict[str, Any]]) -> None:
    def of_kind(results: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {name.removeprefix(f"{kind} "): value for name, value in results.items() if name.startswith(kind)}

    expected = of_kind(over_ranks.normalise(Ranks()))
    found = [of_kind(rank["normalise"]) for rank in ranks]
    for name in ("y", "dx"):
        torch.testing.assert_close(torch.cat([rank[name] for rank in found]), expected[name], rtol=1e-12, atol=1e-13)
    for name in expected.keys() - {"y", "dx"}:
        values = [rank[name] for rank in found]
        whole = sum(values) if name.startswith("gradient") else values[-1]
        torch.testing.assert_close(whole, expected[name], rtol=1e-12, atol=1e-13)


def test_an_error_of_one_rank_is_everyones(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["refuse"]["heard"] == "2 The last rank is not content. Be kind."


def test_an_error_of_one_rank_is_everyones_before_they_communicate(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["meet"] == {"told": True, "heard": "3 The last rank has no data."}


def test_a_rank_that_cannot_begin_ends_the_others_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert launch(RANK, ["begin", str(tmp_path)], 2) == ExitCode.DATA
    first, *others = capfd.readouterr().err.splitlines()
    assert "none.safetensors" in first
    assert set(others) <= {first}


def test_what_rank_0_reads_and_what_any_rank_says_reaches_all(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        told = rank["refuse"]["told"]
        assert torch.equal(told["state"][0], torch.arange(4.0).view(2, 2))
        assert (told["update"], told["state"][1]) == (3, {"name": "x"})
        assert rank["refuse"]["any"] == [True, False]


def test_a_rank_that_is_killed_ends_the_others_and_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EnvironmentFault, match="Rank 1 was ended by SIGKILL"):
        launch(RANK, ["die", str(tmp_path)], 2)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("batch", "parts", "says"),
    [
        (10, {"4 ranks": 4}, r"10 cannot be divided evenly among 4 ranks..* 8 or 12."),
        (500, {"240 classes": 240}, r"500 .* 240 classes..* 480 or 720."),
        (9, {"2 ranks": 2, "4 classes": 4}, r"among 2 ranks and 4 classes..* 8 or 12."),
        (3, {"8 ranks": 8}, r" 8\."),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_with_the_nearest(batch: int, parts: dict[str, int], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_divides(batch, parts)
    check_divides(24, parts if 24 % max(parts.values()) == 0 else {})
