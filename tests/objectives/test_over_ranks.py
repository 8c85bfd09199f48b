"""Several processes with a share of the batch each, against one process with all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from copgen.distributed.launch import launch
from copgen.objectives import over_ranks as ranks
from copgen.runtime.errors import UsageError
from tests.objectives import on_ranks as over_ranks

FORMS = [
    *(
        f"{anchors} {reduction} {q}"
        for anchors in ("first", "both")
        for reduction in ("mean", "none")
        for q in (False, True)
    ),
    *("sup_con mean", "sup_con none"),
]


def run(folder: Path, world: int, what: str) -> list[dict[str, Tensor]]:
    """The results of the ranks, in their order."""
    folder.mkdir()
    assert launch(over_ranks.__name__, [what, str(folder)], world) == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


@pytest.fixture(scope="module", params=[2, 4])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    return run(tmp_path_factory.mktemp("ranks") / "losses", request.param, "losses")


def whole() -> dict[str, Tensor]:
    """The results of one process for the whole batch; a queue is the same on every rank."""
    return over_ranks.losses(0, 1, None)


@pytest.mark.parametrize("form", FORMS)
def test_the_ranks_losses_are_those_of_one_process(found: list[dict[str, Tensor]], form: str) -> None:
    losses = torch.stack([rank[f"{form} loss"] for rank in found])
    together = losses.mean() if "mean" in form else losses.sum()
    torch.testing.assert_close(together, whole()[f"{form} loss"], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("form", FORMS)
def test_the_ranks_gradients_average_to_those_of_one_process(found: list[dict[str, Tensor]], form: str) -> None:
    # A mean is a mean over fewer rows on each rank; a sum is the same sum.
    share = len(found) if "mean" in form else 1
    for name in ("h",) if "sup_con" in form else ("h", "h_pos"):
        gathered = torch.cat([rank[f"{form} {name}"] for rank in found])
        torch.testing.assert_close(gathered / share, whole()[f"{form} {name}"], rtol=1e-12, atol=1e-13)
    tau = torch.stack([rank[f"{form} tau"] for rank in found]).sum() / share
    torch.testing.assert_close(tau, whole()[f"{form} tau"], rtol=1e-12, atol=1e-13)


@pytest.fixture(scope="module")
def on_kernels(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    pytest.importorskip("triton")
    with mock.patch.dict("os.environ", TRITON_INTERPRET="1"):
        return run(tmp_path_factory.mktemp("kernels") / "losses", 2, "kernels")


@pytest.mark.parametrize("form", FORMS)
def test_the_kernels_read_what_the_ranks_gathered(on_kernels: list[dict[str, Tensor]], form: str) -> None:
    share = 2 if "mean" in form else 1
    for name in ("h",) if "sup_con" in form else ("h", "h_pos"):
        gathered = torch.cat([rank[f"{form} {name}"] for rank in on_kernels]).double()
        torch.testing.assert_close(gathered / share, whole()[f"{form} {name}"], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("world", [2, 4])
def test_data_parallel_averages_give_the_gradients_of_one_process(world: int, tmp_path: Path) -> None:
    expected = over_ranks.averaged(0, 1, None)
    for rank in run(tmp_path / "averaged", world, "averaged"):
        for name, gradient in rank.items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-12, atol=1e-13)


def test_batches_that_differ_are_refused_on_all_ranks(tmp_path: Path) -> None:
    ranks = [
        {name: bytes(message.tolist()).decode() for name, message in rank.items()}
        for rank in run(tmp_path / "refusals", 2, "refusals")
    ]
    for name, says in {"rows": "rows differs between the ranks' batches in h: 3, 4", "D": "D differs"}.items():
        assert all(says in rank[name] for rank in ranks)
    assert all("dtype differs" in rank["dtype"] for rank in ranks)
    assert all("both differs" in rank["settings"] for rank in ranks)
    for name, own in {"shape": "h_pos (2, 7)", "none": "h has shape (0, 7)", "labels": "labels has shape (2,)"}.items():
        assert own in ranks[1][name]
        assert "Rank 1" in ranks[0][name]


class Group:
    """Stands in for a process group."""


@pytest.mark.parametrize(("device", "compared"), [("cuda", 2), ("cpu", 5)])
def test_ranks_on_cuda_compare_a_batch_of_a_new_shape_only(
    device: str, compared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since they wait for the device to do it; a tensor without values stands in for a GPU's."""
    seen: list[list[int]] = []

    def compare(facts: list[int], where: torch.device, group: object) -> list[list[int]]:
        seen.append(facts)
        return [[fact, fact] for fact in facts]

    monkeypatch.setattr(ranks, "_compared", compare)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    group: Any = Group()
    with FakeTensorMode():
        for rows in (6, 6, 4, 6, 4):
            ranks.check_together(lambda: None, torch.empty(rows, 3, device=device), group, mean=True)
    assert len(seen) == compared


def test_a_fault_on_cuda_is_found_in_a_batch_of_a_known_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_compared", lambda facts, where, group: [[fact, fact] for fact in facts])
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    group: Any = Group()

    def wrong() -> None:
        raise UsageError("tau is -1.", fix="")

    with FakeTensorMode():
        h = torch.empty(6, 3, device="cuda")
        ranks.check_together(lambda: None, h, group)
        for _ in range(2):
            with pytest.raises(UsageError, match="tau"):
                ranks.check_together(wrong, h, group)
