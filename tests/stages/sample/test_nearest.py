"""The transform nearest: positives against brute force, for every worker the same, and what is refused."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from copgen import generators, pairs
from copgen.distributed.slices import ShardSlice
from copgen.encoders import EncoderConfig, save_encoder
from copgen.encoders.resnet import build
from copgen.evaluation.spaces import FeatureSpace, open_space
from copgen.evaluation.spaces.pixels import Pixels
from copgen.latents.pool import Pool
from copgen.pairs import FilterRules, Plan, finish, layout
from copgen.pairs.pixels import to_uint8
from copgen.pairs.store import LocalStore
from copgen.runtime import philox
from copgen.runtime.errors import DataError, EnvironmentFault, ExitCode, Stopped, UsageError
from copgen.runtime.events import Silent
from copgen.runtime.signals import StopRequest
from copgen.stages.sample import nearest, pool_features
from copgen.stages.sample.batches import make_batches
from copgen.stages.sample.estimate import estimate
from copgen.stages.sample.nearest import Neighbours, open_neighbours, space_name
from copgen.stages.sample.pair_source import Source
from copgen.stages.sample.pool_features import with_features
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import sample, work
from copgen.stages.sample.transform import Positives
from tests.pairs import folders
from tests.stages.painter import CLASSES, DIM, Painter
from tests.stages.small import files, send

CPU = torch.device("cpu")
Make = Callable[..., SampleSettings]


@pytest.fixture
def made(settings: Make, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Sixty pairs in three shards, with a pool of fifty images in four parts."""
    monkeypatch.setattr(pool_features, "PART", 16)

    def make(**changes: Any) -> SampleSettings:
        few = {"n": 60, "pairs_per_shard": 25, "batch": 10, "transform": "nearest", "features": "pixels", "pool": 50}
        return settings(**{**few, **changes})

    return make


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained encoder of 8x8 images."""
    folder = tmp_path_factory.mktemp("runs") / "pretrain"
    torch.manual_seed(0)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    save_encoder(folder, build("digits", 1).eval(), config, {})
    return folder


def ranked(space: FeatureSpace, x: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """All cosines in float64, most similar first."""
    h, others = (F.normalize(space(images).double(), dim=1) for images in (x, bank))
    found = (h @ others.T).sort(dim=1, descending=True)
    return found.values, found.indices


@pytest.mark.parametrize("kind", ["pixels", "encoder"])
def test_positives_are_the_nearest_of_the_pool(
    flow: Path, encoder: Path, tmp_path: Path, made: Make, kind: str
) -> None:
    features = "pixels" if kind == "pixels" else str(encoder)
    sample(made(features=features, positives=3, seed=5), out=tmp_path / "pairs")
    assert pairs.verify(tmp_path / "pairs", "full") == []
    assert not (tmp_path / "pairs/pool").exists()
    plan = Plan.load(tmp_path / "pairs")
    assert plan.transform.settings == {"features": kind, "pool": 50}
    assert (plan.transform.sha256 is None) == (kind == "pixels")

    G = generators.load("digits", weights=flow)
    space = open_space(space_name(features), device=CPU, events=Silent())
    z_pool = philox.normal(5, range(50), 64, stream="latents/pool").float()
    z = G.sample_prior(range(60), 5)
    cosines, numbers = ranked(space, G(z), G(z_pool))
    for pair in pairs.read(tmp_path / "pairs"):
        of_pool, said = numbers[pair.index, :3].tolist(), pair.metadata
        assert said["neighbour_positives"] == of_pool
        assert said["neighbour"] == of_pool[0]
        assert said["neighbour_similarity_positives"] == pytest.approx(cosines[pair.index, :3].tolist(), abs=1e-5)
        for number, image in zip(of_pool, pair.positives, strict=True):
            assert (to_uint8(G(z_pool[number][None]))[0].int() - image.int()).abs().max() <= 1
        d = (z_pool[of_pool[0]] - z[pair.index]).square().mean().sqrt()
        assert said["d"] == pytest.approx(float(d), abs=2e-6)


def with_pool(count: int, **changes: Any) -> tuple[Source, Plan]:
    """The painter, with the features of a pool, and the plan of seventy pairs."""
    G, rules = Painter(torch.float32), changes.pop("filter", None)
    plan = folders.plan(pairs=70, pairs_per_shard=30, batch=16, image_shape=(1, 8, 8), filter=rules, **changes)
    pool = Pool(G.prior, DIM, plan.seed, count, tuple(range(CLASSES)))
    neighbours = Neighbours(pool, Pixels(CPU))
    source = Source(G, Positives((), neighbours.source), neighbours=neighbours)
    bank = G(pool.latents(range(count), CPU), pool.condition(range(count), CPU))
    held = Neighbours(pool, neighbours.space, neighbours.unit_features(bank))
    return Source(G, source.positives, neighbours=held), plan


@pytest.mark.parametrize("rules", [None, FilterRules(min_d=1.2, attempts=500)], ids=["all", "filtered"])
def test_neighbours_have_the_class_of_their_anchor(rules: FilterRules | None) -> None:
    source, plan = with_pool(100, positives=2, filter=rules)
    G, space, held = source.G, Pixels(CPU), source.neighbours
    assert held is not None
    condition = held.pool.condition(range(100), CPU)
    bank = G(held.pool.latents(range(100), CPU), condition)
    assert condition is not None
    read = [pair for number in range(plan.shards) for batch in make_batches(source, plan, number) for pair in batch]
    assert [pair.index for pair in read] == list(range(70))
    rejected = 0
    for pair in read:
        row = pair.index + pair.rejected * 2**40
        x = G(G.sample_prior([row], plan.seed), (y := G.sample_condition([pair.index], plan.seed)))
        cosines, numbers = ranked(space, x, bank)
        same = condition[numbers[0]] == y
        assert pair.metadata["neighbour_positives"] == numbers[0][same][:2].tolist()
        assert pair.metadata["neighbour_similarity"] == pytest.approx(float(cosines[0][same][0]), abs=1e-5)
        assert torch.equal(pair.anchor, to_uint8(x)[0])
        assert min(pair.metadata["d_positives"]) >= (1.2 if rules else 0.0)
        rejected += pair.rejected
    assert (rejected > 10) == (rules is not None)


def test_workers_and_slices_write_the_same_bytes(tmp_path: Path, made: Make) -> None:
    alone = made(threads=1)
    sample(alone, out=tmp_path / "alone")
    for index in range(2):  # one after the other: the second finds the pool that the first left
        with StopRequest() as stop:
            settings, part = alone, ShardSlice(index, 2)
            out = str(tmp_path / "sliced")
            if index == 0:
                store = LocalStore(tmp_path / "sliced")
                Plan.load(tmp_path / "alone").save(store)
            work(settings, out=out, part=part, local=0, note=lambda number, count: None, stop=stop)
    sample(alone, out=tmp_path / "sliced")
    sample(alone, out=tmp_path / "workers", workers=2)
    shards = {place: files(tmp_path / place / "shards") for place in ("alone", "sliced", "workers")}
    assert shards["alone"] == shards["sliced"] == shards["workers"]
    assert not (tmp_path / "workers/pool").exists()


def test_a_stopped_run_keeps_the_parts_of_its_pool(tmp_path: Path, made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[range] = []
    real = pool_features.features_of

    def counted(source: Source, neighbours: Neighbours, plan: Plan, numbers: range, stop: Any = None) -> Tensor:
        computed.append(numbers)
        if len(computed) == 3:
            send(signal.SIGTERM)
        return real(source, neighbours, plan, numbers, stop)

    monkeypatch.setattr(pool_features, "features_of", counted)
    with pytest.raises(Stopped) as caught:
        sample(made(), out=tmp_path / "stopped")
    assert caught.value.code == ExitCode.STOPPED
    assert sorted(path.name for path in (tmp_path / "stopped/pool").glob("*.safetensors")) == [
        "part-000000.safetensors",
        "part-000001.safetensors",
    ]
    sample(made(), out=tmp_path / "stopped")
    assert computed == [range(16), range(16, 32), range(32, 48), range(32, 48), range(48, 50)]
    sample(made(), out=tmp_path / "whole")
    assert files(tmp_path / "stopped/shards") == files(tmp_path / "whole/shards")


@pytest.mark.parametrize("part", [0, 2])
def test_a_worker_that_reads_the_pool_while_another_finishes_the_folder_needs_none(
    tmp_path: Path, made: Make, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    sample(made(), out=tmp_path / "straight")
    read = LocalStore.read
    computed: list[int] = []

    def read_late(store: LocalStore, name: str) -> bytes:
        if name == layout.part_name(part) and not computed:
            computed.append(len(pool_features.parts_left(store, 50)))
            for folder in ("shards", "records"):  # what the other worker writes meanwhile
                shutil.copytree(tmp_path / "straight" / folder, store.folder / folder, dirs_exist_ok=True)
            finish(store, Plan.load(store))
            store.tidy()
        return read(store, name)

    monkeypatch.setattr(LocalStore, "read", read_late)
    assert sample(made(), out=tmp_path / "pairs")["shards"] == 3
    assert computed == [0]
    assert files(tmp_path / "pairs") == files(tmp_path / "straight")


def test_a_damaged_part_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "pairs")
    store.write("pool/part-000000.safetensors", b"nothing")
    source, plan = with_pool(50)
    assert source.neighbours is not None
    bare = Source(source.G, source.positives, neighbours=Neighbours(source.neighbours.pool, Pixels(CPU)))
    with StopRequest() as stop, pytest.raises(DataError) as caught:
        with_features(bare, store, plan, stop)
    assert "part-000000" in caught.value.what
    assert "Remove" in (caught.value.fix or "")


def test_the_estimate_says_what_the_pool_costs(tmp_path: Path, made: Make) -> None:
    found = estimate(made(pool=5000), store=LocalStore(tmp_path))
    assert 0 < found.pool_seconds < found.seconds
    assert list(tmp_path.iterdir()) == []
    assert estimate(made(transform="gaussian")).pool_seconds == 0
    sample(made(), out=tmp_path)
    assert estimate(made(), store=LocalStore(tmp_path)).pool_seconds == 0


class Own(Painter):
    """A generator that draws its conditions itself."""

    def __init__(self) -> None:
        super().__init__(torch.float32)
        self.condition_kind, self.conditions = "condition", 0


def test_what_is_refused(tmp_path: Path, made: Make, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="features"):
        made(features=None)
    with pytest.raises(UsageError, match="pixel") as usage:
        sample(made(features="pixel"), out=tmp_path / "out")
    assert "pixels" in (usage.value.fix or "")
    with pytest.raises(DataError, match="nowhere"):
        sample(made(features="runs/nowhere"), out=tmp_path / "out")
    with pytest.raises(UsageError, match="clip"):
        sample(made(features="clip:"), out=tmp_path / "out")
    with pytest.raises(UsageError, match="pool of 2 ") as usage:
        sample(made(pool=2, positives=3), out=tmp_path / "out")
    assert "--pool 3" in (usage.value.fix or "")
    with pytest.raises(UsageError, match="conditions itself"):
        open_neighbours(made(), Own(), CPU, Silent())
    with pytest.raises(UsageError, match="2 of each") as usage:
        open_neighbours(made(pool=17, positives=3), Painter(), CPU, Silent())
    assert "--pool 18" in (usage.value.fix or "")
    monkeypatch.setattr(nearest, "free", lambda device: 1000)
    with pytest.raises(EnvironmentFault, match="1,000,000"):
        sample(made(pool=1_000_000), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
