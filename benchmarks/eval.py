"""The evaluations against the plain way: `python -m benchmarks.eval --out benchmarks/results/eval-cpu.md`.

One thread, process CPU time, which hardly depends on what else the machine does; the methods of a section are
interleaved in one run.

* Learning rates: an epoch of the SGD probe with eight heads at once, against eight runs of the plain recipe with one
  rate each (torchvision's crops and flips of PIL images, the frozen encoder, `nn.Linear`, `torch.optim.SGD`).
* Nearest neighbours: the weighted vote against scikit-learn's brute force with the same votes.
* Features: all images once through the encoder, against a loop over torchvision's transforms.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import eval_plain as plain
from benchmarks import timing
from benchmarks.report import VERDICTS, divided, head, measuring, mib, options, progress, ratio_verdict, table, verdict
from benchmarks.report import written as report_written
from copgen import encoders, views
from copgen.data.batches import batches
from copgen.data.image_folder import open_folder
from copgen.data.loaders.choice import build_loader
from copgen.data.loaders.loader import LoaderConfig
from copgen.encoders import Encoder, EncoderConfig
from copgen.evaluation.features import embedded
from copgen.evaluation.linear_heads import LinearHeads
from copgen.evaluation.neighbours import knn_ranked
from copgen.evaluation.sgd_probe import scaled

CPU = torch.device("cpu")
RATES = (0.06, 0.2, 0.6, 2.0, 6.0, 20.0, 60.0, 200.0)
OURS = "copgen"
PLAIN = "eight runs of the plain recipe"
LOOP = "torchvision loop"
COSINE, UNIT = "scikit-learn, cosine", "scikit-learn, Euclidean on unit vectors"
NEIGHBOURS, CLASSES = 20, 100
SWEEP, KNN, FEATURES, MEMORY = 5.0, 3.0, 1.0, 500


@dataclass(frozen=True)
class Sizes:
    """Of a run: images and their side, crops of them, and the bank of neighbours."""

    images: int = 256
    side: int = 160
    size: int = 128
    arch: str = "resnet18"
    bank: int = 50_000
    queries: int = 10_000
    dim: int = 512
    rounds: int = 5
    knn_rounds: int = 3


TOY = Sizes(images=12, side=20, size=16, arch="digits", bank=300, queries=40, dim=8, rounds=2, knn_rounds=2)
Section = tuple[dict[str, timing.Timing], dict[str, timing.Timing], dict[str, timing.Timing]]


def encoder_of(sizes: Sizes) -> Encoder:
    """A random encoder of RGB images."""
    torch.manual_seed(0)
    config = EncoderConfig(arch=sizes.arch, in_channels=3, image_size=sizes.size, views="simclr")
    return Encoder(encoders.build(sizes.arch), config)


def sweep(sizes: Sizes, folder: Path, encoder: Encoder, batch: int = 64) -> dict[str, timing.Call]:
    """An epoch of all learning rates."""
    source = open_folder(folder, "train+validation")
    labels = plain.labels_of(folder)
    policy = views.policy("simclr", jitter=None, grayscale=0.0, normalise=None, size=sizes.size)

    def ours() -> None:
        config = LoaderConfig(source=source, policy=policy, seed=0, count=1, device=CPU, workers=1)
        loader = build_loader("torch", config).loader
        heads = LinearHeads(encoder.feature_dim, CLASSES, scaled(RATES, batch))
        for start in range(0, len(labels), batch):
            samples = range(start, min(start + batch, len(labels)))
            with torch.no_grad():
                features = encoder(2.0 * loader[samples].views[0] - 1.0)
            heads.step(features, labels[config.sampler[samples]], scale=1.0)
        loader.close()

    def theirs() -> None:
        for rate in scaled(RATES, batch):
            plain.linear_epoch(folder, encoder.backbone, sizes.size, rate=rate, batch=batch, classes=CLASSES)

    return {OURS: ours, PLAIN: theirs}


def extraction(sizes: Sizes, folder: Path, encoder: Encoder, batch: int = 64) -> dict[str, timing.Call]:
    """The features of all images."""
    source, resize = open_folder(folder, "train+validation"), round(sizes.size / 0.875)

    def ours() -> Tensor:
        images = batches(source, size=sizes.size, shorter_side=resize, batch=batch, workers=1)
        return torch.cat(list(embedded(encoder, images, CPU)))

    return {OURS: ours, LOOP: lambda: plain.features(folder, encoder.backbone, sizes.size, resize, batch=batch)}


def bank(sizes: Sizes) -> tuple[Tensor, Tensor, Tensor]:
    """Features of the bank, their labels, and queries: clusters with noise, so that neighbours mean something."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, sizes.dim, generator=draw)
    labels = torch.randint(CLASSES, (sizes.bank,), generator=draw)
    wanted = torch.randint(CLASSES, (sizes.queries,), generator=draw)
    features, queries = (
        centres[which] + 2.0 * torch.randn(len(which), sizes.dim, generator=draw) for which in (labels, wanted)
    )
    return features, labels, queries


def neighbours(sizes: Sizes) -> dict[str, Callable[[], np.ndarray]]:
    """The classes of all queries."""
    features, labels, queries = bank(sizes)

    def ours() -> np.ndarray:
        found = knn_ranked(features, labels, queries, ks=(NEIGHBOURS,), classes=CLASSES, most=1)
        return found[NEIGHBOURS][:, 0].numpy()

    return {
        OURS: ours,
        COSINE: lambda: plain.knn(features, labels, queries, k=NEIGHBOURS, metric="cosine"),
        UNIT: lambda: plain.knn(features, labels, queries, k=NEIGHBOURS, metric="euclidean"),
    }


def peak(bank_rows: int, queries: int, dim: int) -> int:
    """Bytes that our neighbours need beside the features at their peak; for a separate process."""
    torch.set_num_threads(1)
    call = neighbours(Sizes(bank=bank_rows, queries=queries, dim=dim))[OURS]
    return timing.peak_memory_cpu(call) or 0


def report(sizes: Sizes, *, toy: bool) -> Iterator[str]:
    """The whole benchmark as markdown."""
    yield from head("Evaluations", timing.machine(CPU, ("torchvision", "scikit-learn", "pillow")), toy=toy)
    encoder = encoder_of(sizes)
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = plain.photos(Path(scratch), sizes.images, sizes.side)
        for name, calls in (("sweep", sweep(sizes, folder, encoder)), ("features", extraction(sizes, folder, encoder))):
            progress(name)
            found.append(_times(calls, sizes.rounds))
    progress("neighbours")
    voted = neighbours(sizes)
    agreed = {name: float(np.mean(voted[name]() == voted[OURS]())) for name in (COSINE, UNIT)} if toy else {}
    found.append(_times(voted, sizes.knn_rounds))
    from benchmarks import eval as itself  # under its own name, which the child imports, not as __main__

    memory = timing.in_child(itself.peak, sizes.bank, sizes.queries, sizes.dim)
    what = f"{sizes.images} JPEG images of {sizes.side} px, {sizes.arch} at {sizes.size} px"
    sections = (
        ("Learning rates", f"An epoch with eight learning rates: {what}, crops and flips.", PLAIN),
        ("Features", f"{what}, resized and cropped at the centre.", LOOP),
        ("Nearest neighbours", f"{sizes.bank:,} x {sizes.queries:,} x {sizes.dim}, k = {NEIGHBOURS}.", ""),
    )
    for (title, text, _), times in zip(sections, found, strict=True):
        yield from (f"## {title}", "", f"{text} Ratio: the row to copgen.", "")
        rows = [(name, *t.cells, t.rounds, f"{t.median / times[OURS].median:.2f}") for name, t in times.items()]
        yield from table(("method", "median ms", "p10-p90", "rounds", "ratio"), rows)
    yield from (f"copgen's neighbours need {mib(memory)} MiB beside the features.", "")
    for name, share in agreed.items():
        yield from (f"{name}: {100 * share:.1f} % of the classes agree.", "")
    yield from ("## Targets", "", *_targets(None if toy else found, None if toy else memory))


def _times(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, timing.Timing]:
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _, name in timing.turns(calls, rounds):
        begin = timing.clock()
        calls[name]()
        samples[name].append(1e3 * (timing.clock() - begin))
    return {name: timing.Timing.of(values) for name, values in samples.items()}


def _targets(found: Sequence[dict[str, timing.Timing]] | None, memory: int | None) -> list[str]:
    sweeps, features, near = ({name: one.median for name, one in times.items()} for times in found or ({}, {}, {}))
    peer = min((near[name] for name in (COSINE, UNIT) if name in near), default=None)
    size = None if memory is None else f"{memory / 2**20:.0f} MiB"
    return table(
        VERDICTS,
        [
            ratio_verdict(f"eight learning rates >= {SWEEP:.0f}x", divided(sweeps.get(PLAIN), sweeps.get(OURS)), SWEEP),
            ratio_verdict(f"neighbours >= {KNN:.0f}x the faster scikit-learn", divided(peer, near.get(OURS)), KNN),
            ratio_verdict(
                f"neighbours >= {KNN:.0f}x scikit-learn's cosine", divided(near.get(COSINE), near.get(OURS)), KNN
            ),
            verdict(f"neighbours < {MEMORY} MiB beside the features", size, met=(memory or 0) < MEMORY * 2**20),
            ratio_verdict("features >= 1x", divided(features.get(LOOP), features.get(OURS)), FEATURES),
        ],
    )


def main(arguments: Sequence[str] | None = None) -> str:
    """Runs the benchmark and writes the report, which is returned too."""
    chosen = options(__doc__, device=False).parse_args(arguments)
    with measuring(threads=1):
        return report_written(report(TOY if chosen.toy else Sizes(), toy=chosen.toy), chosen.out)


if __name__ == "__main__":
    main()
