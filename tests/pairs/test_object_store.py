"""Object stores that answer otherwise than Amazon's: what is repeated, what is done without, and what ends a worker."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from copgen import pairs
from copgen.pairs import layout, object_store
from copgen.pairs.claims import Claims
from copgen.pairs.object_store import ObjectStore
from copgen.pairs.service_answers import LONGEST_WAIT_S, asks_to_try_again, requested_wait
from copgen.runtime.errors import EnvironmentFault
from tests.pairs import folders, stores

BUSY = {
    "409 Conflict": "ConditionalRequestConflict",
    "429 Too Many Requests": "TooManyRequests",
    "503 Service Unavailable": "SlowDown",
    "503 Slow Down": "ServiceUnavailable",
    "500 Internal Server Error": "InternalError",
}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, stores.s3_server(patch) as url:
        patch.setenv("AWS_MAX_ATTEMPTS", "1")  # the client's own repetitions are not what is tested
        yield url


@pytest.fixture
def store(bucket: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setattr(object_store, "WAITS_S", (0.01, 0.01, 0.01))
    return ObjectStore(f"{bucket}/differing-{next(_numbers)}")


def write_pairs(store: ObjectStore, folder: Path) -> None:
    """Make a whole pairs folder as a worker does, and compare it with a local one."""
    plan = folders.plan()
    with store.writers(overwrite=False), Claims(store) as claims:
        plan.save(store)
        while (number := claims.take(pairs.missing_shards(store, plan))) is not None:
            with store.shard_folder(number) as made:
                pairs.write_shard(made, plan, number, folders.shard_pairs(plan, number))
            claims.release(number)
        assert pairs.finish(store, plan) == folders.write(folder, plan)
        store.tidy()
    assert stores.content(store.url) == folders.files(folder)


@pytest.mark.parametrize("status", BUSY)
def test_what_the_store_refuses_for_the_moment_is_repeated(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: str
) -> None:
    seen: set[str] = set()

    def once_each(environ: stores.Environ) -> tuple[str, str] | None:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ['QUERY_STRING']}"
        first = request not in seen
        seen.add(request)
        return (status, BUSY[status]) if first and environ["REQUEST_METHOD"] == "PUT" else None

    with stores.answering(monkeypatch, once_each) as refused:
        write_pairs(store, tmp_path / "straight")
    assert any("claims" in request for request in refused)
    assert any(request.endswith(".tar") for request in refused)


def test_a_store_that_stays_busy_ends_the_worker(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with stores.answering(monkeypatch, lambda _: ("503 Busy", "ServiceUnavailable")) as refused:
        with pytest.raises(EnvironmentFault, match="claims/a"):
            store.create("claims/a", b"mine")
        assert len(refused) >= 1 + len(object_store.WAITS_S)


def test_what_the_store_forbids_is_asked_once(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with stores.answering(monkeypatch, lambda _: ("403 Forbidden", "AccessDenied")) as refused:
        with pytest.raises(EnvironmentFault, match="claims/a"):
            store.create("claims/a", b"mine")
        assert len(refused) == 1


def test_without_conditional_puts_the_work_goes_on_and_that_is_said_once(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse_conditions(environ: stores.Environ) -> tuple[str, str] | None:
        return ("501 Not Implemented", "NotImplemented") if "HTTP_IF_NONE_MATCH" in environ else None

    with stores.answering(monkeypatch, refuse_conditions) as refused, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_pairs(store, tmp_path / "straight")
        assert not store.create(layout.PLAN, b"another")
    assert len(refused) == 1
    said = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
    assert len(said) == 1
    assert store.url in said[0]


def test_a_failed_condition_without_its_name_means_that_the_file_exists(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = ("412 Precondition Failed", "PreconditionFailed")  # MinIO and Ceph do not say which condition
    with stores.answering(monkeypatch, lambda environ: answer if "HTTP_IF_NONE_MATCH" in environ else None):
        assert not store.create("claims/a", b"mine")


def test_errors_without_a_response_are_judged_by_their_number_or_status() -> None:
    class Answered(Exception):
        def __init__(self, status: object) -> None:
            self.status = status

    assert asks_to_try_again(OSError(16, "busy"))
    assert asks_to_try_again(Answered(503))
    assert asks_to_try_again(Answered("429"))
    for error in (OSError(13, "forbidden"), Answered(404), Answered(None), RuntimeError("no credentials")):
        assert not asks_to_try_again(error)


def test_the_wait_that_a_store_requests_is_bounded() -> None:
    class Answered(Exception):
        def __init__(self, value: str) -> None:
            self.response = {"ResponseMetadata": {"HTTPHeaders": {"retry-after": value}}}

    assert requested_wait(Answered("7")) == 7.0
    assert requested_wait(Answered("86400")) == LONGEST_WAIT_S
    assert requested_wait(Answered("Wed, 21 Oct 2015 07:28:00 GMT")) == 0.0
    assert requested_wait(RuntimeError()) == 0.0
