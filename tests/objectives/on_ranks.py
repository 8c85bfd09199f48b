"""What each rank of a test runs: `main([WHAT, OUT])`, WHAT a function below, started by `launch`.

The global batch is a function of the seed, and a rank takes its rows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from copgen.distributed.ranks import joined
from copgen.objectives import info_nce, over_ranks, sup_con
from copgen.objectives.operators import info_nce as of_info_nce
from copgen.objectives.operators import sup_con as of_sup_con
from copgen.runtime.errors import UsageError

ROWS, D = 12, 7  # of the global batch


def batch() -> dict[str, Tensor]:
    """The global batch: embeddings (ROWS, D), labels (ROWS,), and weights for reduction="none"."""
    generator = torch.Generator().manual_seed(3)
    h = torch.randn(ROWS, D, generator=generator, dtype=torch.float64)
    return {
        "h": h,
        "h_pos": h + 0.7 * torch.randn(ROWS, D, generator=generator, dtype=torch.float64),
        "labels": torch.tensor([0, 1, 0, 2, 3, 3, 0, 4, 1, 5, 6, 6]),
        "weights": torch.randn(2 * ROWS, generator=generator, dtype=torch.float64),
        "negatives": torch.randn(3, D, generator=generator, dtype=torch.float64),
    }


def own_rows(x: Tensor, rank: int, world: int) -> Tensor:
    return x.chunk(world)[rank].clone()


def losses(rank: int, world: int, group: Any) -> dict[str, Tensor]:
    """Losses and gradients of this rank's rows, for every form of the losses."""
    found: dict[str, Tensor] = {}
    for anchors in ("first", "both"):
        for reduction in ("mean", "none"):
            for queue in (False, True):
                rows = {name: own_rows(x, rank, world) for name, x in batch().items() if name in ("h", "h_pos")}
                h, h_pos = (x.requires_grad_() for x in rows.values())
                tau = torch.tensor(0.3, dtype=batch()["h"].dtype, requires_grad=True)
                negatives = batch()["negatives"] if queue else None
                loss = info_nce(
                    h,
                    h_pos,
                    temperature=tau,
                    anchors=anchors,
                    reduction=reduction,
                    negatives=negatives,
                    group=group,
                )
                weights_SK = batch()["weights"].view(2, ROWS).chunk(world, dim=1)[rank]
                if reduction == "none":
                    loss = (loss * weights_SK[: len(loss) // len(h)].flatten()).sum()
                loss.backward()  # type: ignore[no-untyped-call]
                name = f"{anchors} {reduction} {queue}"
                found |= {f"{name} loss": loss.detach(), f"{name} tau": _known(tau.grad)}
                found |= {f"{name} h": _known(h.grad), f"{name} h_pos": _known(h_pos.grad)}
    for reduction in ("mean", "none"):
        h = own_rows(batch()["h"], rank, world).requires_grad_()
        tau = torch.tensor(0.3, dtype=batch()["h"].dtype, requires_grad=True)
        loss = sup_con(
            h,
            own_rows(batch()["labels"], rank, world),
            temperature=tau,
            reduction=reduction,  # type: ignore[arg-type]
            group=group,
        )
        if reduction == "none":
            loss = (loss * own_rows(batch()["weights"][:ROWS], rank, world)).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        name = f"sup_con {reduction}"
        found |= {f"{name} loss": loss.detach(), f"{name} h": _known(h.grad), f"{name} tau": _known(tau.grad)}
    return found


def kernels(rank: int, world: int, group: Any) -> dict[str, Tensor]:
    """`losses` on the Triton kernels, which read tensors by their addresses, in float32."""
    from copgen.objectives import triton_kernels

    whole = {name: x.float() if x.is_floating_point() else x for name, x in batch().items()}
    with mock.patch(f"{__name__}.batch", return_value=whole), ExitStack() as patched:
        for module in (over_ranks, of_info_nce, of_sup_con):
            patched.enter_context(mock.patch.object(module, "kernels_for", return_value=triton_kernels))
        return losses(rank, world, group)


def averaged(rank: int, world: int, group: Any) -> dict[str, Tensor]:
    """The gradients of a linear encoder and of a learnt temperature, averaged by DistributedDataParallel."""
    f: nn.Module = Encoder()
    model = DistributedDataParallel(f) if world > 1 else f
    h, h_pos, tau = model(own_rows(batch()["h"], rank, world), own_rows(batch()["h_pos"], rank, world))
    info_nce(h, h_pos, temperature=tau, group=group).backward()  # type: ignore[no-untyped-call]
    return {name: _known(parameter.grad) for name, parameter in f.named_parameters()}


class Encoder(nn.Module):
    """One layer and a temperature, the same in every process."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(5, D, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
        self.weight = nn.Parameter(weight)
        self.tau = nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    def forward(self, x: Tensor, x_pos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x @ self.weight.T, x_pos @ self.weight.T, self.tau.clone()


def refusals(rank: int, world: int, group: Any) -> dict[str, Tensor]:
    """The errors of the ranks for batches that differ; each entry is the message as bytes."""
    last = rank == world - 1
    tries: dict[str, Callable[[], Tensor]] = {
        "rows": lambda: info_nce(torch.ones(3 + last, D), torch.ones(3 + last, D), temperature=0.1, group=group),
        "D": lambda: info_nce(torch.ones(3, D + last), torch.ones(3, D + last), temperature=0.1, group=group),
        "dtype": lambda: sup_con(
            torch.ones(3, D, dtype=torch.float64 if last else torch.float32),
            torch.zeros(3, dtype=torch.int64),
            temperature=0.1,
            group=group,
        ),
        "settings": lambda: info_nce(
            torch.ones(3, D), torch.ones(3, D), temperature=0.1, anchors="both" if last else "first", group=group
        ),
        "shape": lambda: info_nce(torch.ones(3, D), torch.ones(3 - last, D), temperature=0.1, group=group),
        "none": lambda: info_nce(torch.ones(0 if last else 3, D), torch.ones(3, D), temperature=0.1, group=group),
        "labels": lambda: sup_con(
            torch.ones(3, D), torch.zeros(3 - last, dtype=torch.int64), temperature=0.1, group=group
        ),
    }
    said = {}
    for name, attempt in tries.items():
        try:
            attempt()
        except UsageError as error:
            said[name] = torch.frombuffer(bytearray(str(error).encode()), dtype=torch.uint8)
    return said


def _known(gradient: Tensor | None) -> Tensor:
    assert gradient is not None
    return gradient


def main(words: Sequence[str]) -> int:
    what, out = words
    work = {"losses": losses, "averaged": averaged, "kernels": kernels, "refusals": refusals}[what]
    with joined(torch.device("cpu")) as (ranks, _):
        torch.save(work(ranks.rank, ranks.world, ranks.group), Path(out) / f"{ranks.rank}.pt")
    return 0
