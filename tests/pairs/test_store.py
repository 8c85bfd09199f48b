"""Stores: the same few operations on a folder, in memory and on S3."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from copgen import pairs
from copgen.pairs import layout
from copgen.pairs.object_store import ObjectStore
from copgen.pairs.store import LocalStore, Store, open_store
from copgen.runtime.errors import DataError, EnvironmentFault, UsageError
from tests.pairs import folders, stores


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, stores.s3_server(patch) as url:
        yield url


@pytest.fixture(params=stores.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    bucket = request.getfixturevalue("bucket") if request.param == "s3" else ""
    return stores.new_place(request.param, tmp_path, bucket)


@pytest.fixture
def store(place: str) -> Store:
    return open_store(place)


def test_what_is_written_is_read(store: Store) -> None:
    assert store.size("records/a") is None
    assert (store.sizes("records"), store.read_all("records")) == ({}, {})
    store.write("records/a", b"one")
    store.write("records/b", b"")
    store.write("records/a", b"three")
    assert (store.read("records/a"), store.size("records/a")) == (b"three", 5)
    assert store.sizes("records") == {"a": 5, "b": 0}
    assert store.read_all("records") == {"a": b"three", "b": b""}
    for _ in range(2):
        store.remove("records/a")
    assert store.sizes("records") == {"b": 0}
    with pytest.raises(DataError, match="records/a is missing"):
        store.read("records/a")


def test_a_name_is_created_once(store: Store) -> None:
    assert store.create("claims/a", b"first")
    assert not store.create("claims/a", b"second")
    assert store.read("claims/a") == b"first"
    store.remove("claims/a")
    assert store.create("claims/a", b"third")


def test_of_many_that_create_a_name_at_once_one_succeeds(store: Store) -> None:
    if "memory" in store.where():
        pytest.skip("fsspec's memory is of one thread")
    for round in range(5):
        barrier = threading.Barrier(6)
        won: list[int] = []

        def create(number: int, round: int = round, barrier: threading.Barrier = barrier, won: list[int] = won) -> None:
            barrier.wait()
            if store.create(f"claims/{round}", b"%d" % number):
                won.append(number)

        threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [b"%d" % number for number in won] == [store.read(f"claims/{round}")]


def test_a_folder_of_pairs_is_the_same_everywhere(store: Store, place: str, tmp_path: Path) -> None:
    plan = folders.plan()
    straight = folders.write(tmp_path / "straight", plan)
    with store.writers(overwrite=False):
        plan.save(store)
        for number in pairs.missing_shards(store, plan):
            with store.shard_folder(number) as folder:
                pairs.write_shard(folder, plan, number, folders.shard_pairs(plan, number))
        assert pairs.missing_shards(store, plan) == []
        assert pairs.finish(store, plan) == straight
        store.tidy()
    assert stores.content(place) == folders.files(tmp_path / "straight")


def test_a_shard_that_is_broken_off_leaves_no_record(store: Store) -> None:
    plan = folders.plan()

    def broken_off() -> None:
        with store.shard_folder(0) as folder:
            pairs.write_shard(folder, plan, 0, folders.shard_pairs(plan, 0))
            layout.record_path(folder, 0).unlink()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    assert pairs.missing_shards(store, plan) == [0, 1, 2]


def test_another_plan_is_refused_with_the_difference(store: Store) -> None:
    folders.plan().save(store)
    folders.plan().save(store)
    with pytest.raises(UsageError, match=r"holds pairs of another plan: seed is 3, not 4\."):
        folders.plan(seed=4).save(store)


def test_overwriting_empties_it(store: Store, place: str) -> None:
    plan = folders.plan()
    documents = (layout.PLAN, layout.PLACES, layout.MANIFEST, layout.CARD)
    for name in (*documents, "shards/shard-000000.tar", "records/shard-000000.json"):
        store.write(name, b"old")
    with store.writers(overwrite=True):
        assert store.size(layout.PLAN) is None
        assert (store.sizes("shards"), store.sizes("records")) == ({}, {})
        plan.save(store)
    assert set(stores.content(place)) == {layout.PLAN}


def test_a_store_with_claims_is_not_overwritten(bucket: str, tmp_path: Path) -> None:
    store = open_store(stores.new_place("s3", tmp_path, bucket))
    store.write("claims/shard-000000.json", b"{}")
    store.write(layout.PLAN, b"old")
    with pytest.raises(EnvironmentFault, match="is in use"), store.writers(overwrite=True):
        pytest.fail("overwritten")
    assert store.size(layout.PLAN) == 3


def test_a_record_goes_before_its_shard_is_touched(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan = open_store(stores.new_place("s3", tmp_path, bucket)), folders.plan()
    order: list[str] = []
    assert isinstance(store, ObjectStore)
    service = store._service
    put, rm = service.put_file, service.rm_file

    def traced_put(source: str, target: str) -> None:
        order.append("put " + target.rpartition(".")[2])
        put(source, target)

    def traced_rm(target: str) -> None:
        order.append("remove " + target.rpartition(".")[2])
        rm(target)

    monkeypatch.setattr(service, "put_file", traced_put)
    monkeypatch.setattr(service, "rm_file", traced_rm)
    with store.shard_folder(0) as folder:
        pairs.write_shard(folder, plan, 0, folders.shard_pairs(plan, 0))
    assert order == ["remove json", "put tar", "put idx", "put json"]


def test_a_missing_bucket_is_the_environments(bucket: str) -> None:
    with pytest.raises(EnvironmentFault, match=r"s3://nowhere-1/pairs/plan\.json cannot be written"):
        folders.plan().save(open_store("s3://nowhere-1/pairs"))


def test_a_service_that_fails_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("memory://failing")

    def fail(self: object, path: str) -> bytes:
        raise RuntimeError("no credentials")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "cat_file", fail)
    with pytest.raises(EnvironmentFault, match=r"memory://failing/plan\.json cannot be reached: no credentials\."):
        store.read(layout.PLAN)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str, **options: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    for url, extra in (("s3://bucket/pairs", "s3"), ("gs://bucket/pairs", "gs")):
        with pytest.raises(EnvironmentFault) as caught:
            open_store(url)
        assert caught.value.fix == f"pip install 'copgen[{extra}]'"


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'s4://bucket'.*'s4'"):
        open_store("s4://bucket")


def test_a_path_is_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "pairs", "pairs", "a/b"):
        opened = open_store(path)
        assert isinstance(opened, LocalStore)
        assert opened.folder == Path(path)


@pytest.mark.parametrize(
    ("url", "command"),
    [
        ("s3://bucket/pairs", "aws s3 sync s3://bucket/pairs pairs"),
        ("gs://bucket/pairs", "gcloud storage rsync --recursive gs://bucket/pairs pairs"),
    ],
)
def test_reading_from_a_url_is_refused_with_the_way(url: str, command: str) -> None:
    for place in (url, Path(url)):
        with pytest.raises(UsageError, match=url) as caught:
            pairs.open_pairs(place)
        assert caught.value.fix.endswith(command)


@pytest.mark.parametrize("scheme", ["file", "local"])
def test_a_url_of_this_machine_is_a_folder(scheme: str, tmp_path: Path) -> None:
    for url in (f"{scheme}://{tmp_path}/new/pairs", Path(f"{scheme}://{tmp_path}/new/pairs")):
        opened = open_store(url)
        assert isinstance(opened, LocalStore)
        assert opened.folder == tmp_path / "new/pairs"


def test_folders_are_made_where_a_service_has_folders(tmp_path: Path) -> None:
    """As on sftp:// or hdfs://: neither the folder of the pairs nor those in it exist."""
    store, plan = open_store(f"folders://{tmp_path}/new/pairs"), folders.plan()
    assert isinstance(store, ObjectStore)
    plan.save(store)
    for number in range(plan.shards):
        with store.shard_folder(number) as folder:
            pairs.write_shard(folder, plan, number, folders.shard_pairs(plan, number))
    pairs.finish(store, plan)
    assert len(pairs.open_pairs(tmp_path / "new/pairs", "full")) == plan.pairs


def test_a_folder_that_cannot_be_made_is_the_environments(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match=r"folders://.*plan\.json"):
        folders.plan().save(open_store(f"folders://{tmp_path}/file/pairs"))


def test_strays_of_a_dead_worker_go_with_the_next_one(tmp_path: Path) -> None:
    store, plan = LocalStore(tmp_path), folders.plan()
    plan.save(store)
    for name in ("shards/shard-000000.tar.ab.partial", "records/shard-000000.json.ab.partial"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    others = ("shards/shard-000001.tar.ab.partial", "plan.json.ab.partial")
    for name in others:
        (tmp_path / name).touch()
    with store.shard_folder(0):
        assert set(folders.files(tmp_path)) == {"plan.json", *others}
    with store.writers(overwrite=False):
        assert not (tmp_path / others[1]).exists()
