"""The evaluations against the plain way: `python -m benchmarks.eval --data-root DATA --out results/eval-cpu.md`.

One thread, process CPU time, which hardly depends on what else the machine does; the methods of a section are
interleaved in one run.

* Learning rates: an epoch of the SGD probe with eight heads at once, against eight runs of the plain recipe with one
  rate each (torchvision's crops and flips of PIL images, the frozen encoder, `nn.Linear`, `torch.optim.SGD`).
* Nearest neighbours: the weighted vote against scikit-learn's brute force with the same votes; of features of CIFAR-10
  (eval_features.py), and of isotropic noise around the centres of classes, which leaves nothing to gain.
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

from benchmarks import eval_features, timing
from benchmarks import eval_plain as plain
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
PARTS = ("images", "neighbours")
LEARNING, EXTRACTION = "Learning rates", "Features"
REAL, ISOTROPIC = "Nearest neighbours, features of real images", "Nearest neighbours, isotropic features"
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


def noise(sizes: Sizes) -> tuple[Tensor, Tensor, Tensor]:
    """Features of the bank, their labels, and queries: isotropic noise around the centres of classes."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, sizes.dim, generator=draw)
    labels = torch.randint(CLASSES, (sizes.bank,), generator=draw)
    wanted = torch.randint(CLASSES, (sizes.queries,), generator=draw)
    features, queries = (
        centres[which] + 2.0 * torch.randn(len(which), sizes.dim, generator=draw) for which in (labels, wanted)
    )
    return features, labels, queries


def neighbours(features: Tensor, labels: Tensor, queries: Tensor) -> dict[str, Callable[[], np.ndarray]]:
    """The classes of all queries."""

    def ours() -> np.ndarray:
        found = knn_ranked(features, labels, queries, ks=(NEIGHBOURS,), classes=CLASSES, most=1)
        return found[NEIGHBOURS][:, 0].numpy()

    return {
        OURS: ours,
        COSINE: lambda: plain.knn(features, labels, queries, k=NEIGHBOURS, metric="cosine"),
        UNIT: lambda: plain.knn(features, labels, queries, k=NEIGHBOURS, metric="euclidean"),
    }


def peak(file: str) -> int:
    """Bytes that our neighbours need beside the features of a file at their peak; for a separate process."""
    torch.set_num_threads(1)
    return timing.peak_memory_cpu(neighbours(*eval_features.read(Path(file)))[OURS]) or 0


def report(
    sizes: Sizes, *, toy: bool, data_root: Path | None = None, run: Path | None = None, only: Sequence[str] = PARTS
) -> Iterator[str]:
    """The whole benchmark as markdown, or parts of it."""
    yield from head("Evaluations", timing.machine(CPU, ("torchvision", "scikit-learn", "pillow")), toy=toy)
    found: dict[str, dict[str, timing.Timing]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        if "images" in only:
            encoder, folder = encoder_of(sizes), plain.photos(Path(scratch), sizes.images, sizes.side)
            what = f"{sizes.images} JPEG images of {sizes.side} px, {sizes.arch} at {sizes.size} px"
            parts = {
                LEARNING: (
                    sweep(sizes, folder, encoder),
                    f"An epoch with eight rates: {what}, crops and flips.",
                ),
                EXTRACTION: (extraction(sizes, folder, encoder), f"{what}, resized and cropped at the centre."),
            }
            for title, (calls, text) in parts.items():
                progress(title)
                found[title] = _times(calls, sizes.rounds)
                yield from section(title, text, found[title])
    memory = None
    if "neighbours" in only:
        banks = {ISOTROPIC: (noise(sizes), "isotropic noise around the centres of classes")}
        if data_root is not None:
            file, of = eval_features.cifar10(data_root, run)
            banks = {REAL: (eval_features.read(file), f"CIFAR-10, {of}"), **banks}
            memory = timing.in_child(peak_in_child(), str(file))
        for title, (features, of) in banks.items():
            progress(title)
            voted = neighbours(*features)
            size = " x ".join(f"{number:,}" for number in (len(features[0]), len(features[2]), features[0].shape[1]))
            found[title] = _times(voted, sizes.knn_rounds)
            yield from section(title, f"{size}, k = {NEIGHBOURS}: {of}.", found[title])
            for name in (COSINE, UNIT):
                share = np.mean(voted[name]() == voted[OURS]()) if toy else None
                yield from () if share is None else (f"{name}: {100 * share:.1f} % of the classes agree.", "")
        yield from (f"copgen's neighbours need {mib(memory)} MiB beside the features.", "") if memory else ()
    yield from ("## Targets", "", *_targets({} if toy else found, None if toy else memory))


def section(title: str, text: str, times: Mapping[str, timing.Timing]) -> Iterator[str]:
    """A table of times, and their ratios to ours."""
    yield from (f"## {title}", "", f"{text} Ratio: the row to copgen.", "")
    rows = [(name, *t.cells, t.rounds, f"{t.median / times[OURS].median:.2f}") for name, t in times.items()]
    yield from table(("method", "median ms", "p10-p90", "rounds", "ratio"), rows)


def peak_in_child() -> Callable[[str], int]:
    """`peak` under the name of this module, which the child imports, not as __main__."""
    from benchmarks import eval as itself

    return itself.peak


def _times(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, timing.Timing]:
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _, name in timing.turns(calls, rounds):
        begin = timing.clock()
        calls[name]()
        samples[name].append(1e3 * (timing.clock() - begin))
    return {name: timing.Timing.of(values) for name, values in samples.items()}


def _targets(found: Mapping[str, Mapping[str, timing.Timing]], memory: int | None) -> list[str]:
    medians = {title: {name: one.median for name, one in times.items()} for title, times in found.items()}
    sweeps, features, near = (medians.get(title, {}) for title in (LEARNING, EXTRACTION, REAL))
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
    parser = options(__doc__, device=False)
    parser.add_argument("--data-root", type=Path, metavar="FOLDER", help="has CIFAR-10, for features of real images")
    parser.add_argument("--encoder", type=Path, metavar="RUN", help="of these features (an untrained ResNet-18)")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="parts of the benchmark")
    chosen = parser.parse_args(arguments)
    sizes = TOY if chosen.toy else Sizes()
    with measuring(threads=1):
        lines = report(sizes, toy=chosen.toy, data_root=chosen.data_root, run=chosen.encoder, only=chosen.only)
        return report_written(lines, chosen.out)


if __name__ == "__main__":
    main()
