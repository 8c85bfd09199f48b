"""An update of SimCLR against the authors' code: `python -m benchmarks.pretrain_step [--threads 1|2] [--toy]`.

ResNet-50, views of 128 px that are in memory already: forward, loss, backward, optimizer. The authors' step is
reimplemented: their loss with all logits in memory, SGD, and the loss read at every update. On CUDA also bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from benchmarks import timing
from benchmarks.navigate_authors import AuthorsStep
from benchmarks.report import VERDICTS, divided, head, measuring, options, progress, ratio_verdict, table, written
from copgen import views
from copgen.distributed.ranks import Ranks
from copgen.stages.pretrain.learner import Learner
from copgen.stages.pretrain.settings import PretrainSettings
from copgen.training.halt import Halt
from copgen.training.metrics import DeviceMetrics
from copgen.training.optimizers import build_optimizer

OURS, AUTHORS = "copgen", "authors' step"
TARGETS = ((f">= 1.0x {AUTHORS}", OURS, 1.0),)
LR, DECAY = 0.02625, 1e-4


def authors_step(device: torch.device, v: Tensor, v_pos: Tensor) -> Callable[[], float]:
    """SimCLR as in the authors' code, on given views."""
    torch.manual_seed(0)
    f = resnet50(num_classes=2048)
    f.fc = cast("nn.Linear", nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(inplace=True), nn.Linear(2048, 128)))
    f.to(device).train()
    optimizer = torch.optim.SGD(f.parameters(), lr=LR, momentum=0.9, weight_decay=DECAY)

    def step() -> float:
        loss = AuthorsStep.loss(cast("AuthorsStep", SimpleNamespace(f=f)), v, v_pos)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        return loss.item()

    return step


def copgen_step(device: torch.device, v: Tensor, v_pos: Tensor, **changes: Any) -> Callable[[], None]:
    """The same by the library, with what the loop of `copgen pretrain` does around it."""
    settings = PretrainSettings(batch=len(v), encoder="resnet50", projector=(2048, 128), views="none", **changes)
    source = cast("Any", SimpleNamespace(channels=v.shape[1], size=(v.shape[2], v.shape[3]), labels=None))
    learner = Learner(settings, source, views.policy("none"), 1000, device, Ranks())
    optimizer = build_optimizer("sgd", learner.method.f, lr=LR, weight_decay=DECAY)
    halt, metrics = Halt(device), DeviceMetrics(every=20 if device.type == "cuda" else 1)

    def step() -> None:
        losses = learner.losses((v, v_pos), None)
        (loss,) = losses.values()
        halt.where(~loss.detach().isfinite())
        optimizer.zero_grad()
        learner.backward(loss)
        halt.step(optimizer)
        metrics.keep(0, losses)
        if metrics.full:
            metrics.read()

    return step


def methods(device: torch.device, v: Tensor, v_pos: Tensor) -> dict[str, Callable[[], Callable[[], object]]]:
    """What is compared."""
    table: dict[str, Callable[[], Callable[[], object]]] = {
        OURS: lambda: copgen_step(device, v, v_pos),
        AUTHORS: lambda: authors_step(device, v, v_pos),
        f"{OURS}, chunks of a quarter": lambda: copgen_step(device, v, v_pos, chunk=max(1, len(v) // 4)),
    }
    if device.type == "cuda":
        table[f"{OURS}, bfloat16"] = lambda: copgen_step(device, v, v_pos, precision="bfloat16")
        compiled = {"precision": "bfloat16", "compile": "default"}
        table[f"{OURS}, bfloat16, compiled"] = lambda: copgen_step(device, v, v_pos, **compiled)
    return table


def report(device: torch.device, *, toy: bool) -> Iterator[str]:
    """The whole benchmark as markdown."""
    cuda = device.type == "cuda"
    batch, size = (4, 32) if toy else (256 if cuda else 32, 128)
    torch.manual_seed(0)
    v, v_pos = torch.randn(2, batch, 3, size, size, device=device)
    calls: dict[str, timing.Call] = {}
    for name, build in methods(device, v, v_pos).items():
        progress(name)
        calls[name] = build()
        calls[name]()
    times = timing.interleaved(calls, device, rounds=(7, 15), seconds=240.0, toy=toy)
    yield from head("An update of SimCLR with a ResNet-50", timing.machine(device, ("torchvision",)), toy=toy)
    yield (
        f"Batch {batch} ({2 * batch} views), {size} px. Milliseconds: median and 10th to 90th percentile of "
        f"interleaved rounds; ratio: {AUTHORS} to the row."
    )
    yield ""
    rows = [
        (name, *t.cells, t.rounds, f"{1e3 * batch / t.median:.1f}", f"{times[AUTHORS].median / t.median:.2f}")
        for name, t in times.items()
    ]
    yield from table(("method", "median ms", "p10-p90", "rounds", "pairs/s", "ratio"), rows)
    yield from targets({} if toy else times)


def targets(times: dict[str, timing.Timing]) -> list[str]:
    """The targets and whether they were met; a target without a measurement is never met."""
    medians = {name: t.median for name, t in times.items()}
    rows = [
        ratio_verdict(what, divided(medians.get(AUTHORS), medians.get(ours)), least) for what, ours, least in TARGETS
    ]
    return table(VERDICTS, rows)


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    parser = options(__doc__)
    parser.add_argument("--threads", type=int, default=2, help="threads of torch on the CPU")
    chosen = parser.parse_args(arguments)
    lines: Iterable[str]
    with measuring(threads=chosen.threads):
        lines = list(report(chosen.device, toy=chosen.toy))
        return written(lines, chosen.out)


if __name__ == "__main__":
    main()
