"""`copgen generator fetch` against a local server: downloads end as imported weights, or say what to do instead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from copgen import generators
from copgen.generators import registry
from copgen.generators.public_files import PublicFile
from copgen.runtime.errors import DataError, EnvironmentFault, ExitCode, UsageError
from copgen.stages.generator.fetch import fetch_generator
from copgen.storage.download import Policy, Unreachable
from copgen.storage.files import sha256_of
from copgen.storage.lock import locked
from tests.stages.published import icgan_instances, pack, write_bigbigan, write_icgan
from tests.stages.small import Recorder
from tests.storage.servers import Manners, serving

QUICK = Policy(timeout=5.0, pause=0.0)


@pytest.fixture(autouse=True)
def weights_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one of the test's own."""
    monkeypatch.setenv("COPGEN_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def manners(tmp_path: Path) -> Manners:
    """A server with BigBiGAN's file and IC-GAN's archives."""
    write_bigbigan(tmp_path / "public" / "BigBiGAN_x1.pth")
    weights, instances = write_icgan(tmp_path / "public" / "icgan")
    root = tmp_path / "public" / "icgan"
    return Manners(
        {
            "/BigBiGAN_x1.pth": (tmp_path / "public" / "BigBiGAN_x1.pth").read_bytes(),
            "/icgan.tar.gz": pack(tmp_path / "icgan.tar.gz", root, weights.name),
            "/stored.tar.gz": pack(tmp_path / "stored.tar.gz", root, f"stored_instances/{instances.name}"),
        }
    )


@pytest.fixture
def server(manners: Manners, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its address; the registry's addresses point to it."""
    with serving(manners) as address:
        bigbigan = PublicFile("weights", "BigBiGAN_x1.pth", (f"{address}/gone", f"{address}/BigBiGAN_x1.pth"))
        name = "icgan_biggan_imagenet_res128"
        icgan = (
            PublicFile("weights", f"{name}.tar.gz", (f"{address}/icgan.tar.gz",), archive=True, inside=name),
            PublicFile("instances", icgan_instances(), (f"{address}/gone",), required=False),
            PublicFile(
                "instances",
                "stored_instances.tar.gz",
                (f"{address}/stored.tar.gz",),
                archive=True,
                inside=f"stored_instances/{icgan_instances()}",
                required=False,
            ),
        )
        for generator, files in (("bigbigan", (bigbigan,)), ("icgan-128", icgan)):
            entry = replace(registry.entry(generator), files=files)
            monkeypatch.setitem(registry.KNOWN, generator, entry)
        yield address


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_weights_are_fetched_from_the_first_address_that_has_them(
    server: str, manners: Manners, tmp_path: Path, weights_directory: Path
) -> None:
    events = Recorder()
    found = fetch_generator("bigbigan", events=events, policy=QUICK)
    assert [path for path, _ in manners.seen] == ["/gone", "/BigBiGAN_x1.pth"]
    assert found["source_sha256"] == sha256_of(tmp_path / "public" / "BigBiGAN_x1.pth")
    assert names(weights_directory) == {"bigbigan.safetensors"}
    assert generators.load("bigbigan").weights_sha256 == found["source_sha256"]
    assert "none stated by the authors" in events.sentences[0]
    assert events.tasks[-1][:3] == ("fetch", len(manners.content["/BigBiGAN_x1.pth"]), "bytes")


def test_what_is_there_is_not_fetched_again(server: str, manners: Manners) -> None:
    fetch_generator("bigbigan", policy=QUICK)
    manners.seen.clear()
    assert fetch_generator("bigbigan", policy=QUICK)["already_imported"]
    assert manners.seen == []
    assert fetch_generator("bigbigan", overwrite=True, policy=QUICK)["tensors"] > 100
    assert [path for path, _ in manners.seen] == ["/gone", "/BigBiGAN_x1.pth"]


def test_archives_are_opened_and_instances_come_along(server: str, weights_directory: Path) -> None:
    found = fetch_generator("icgan-128", policy=QUICK)
    assert set(found["sources"]) == {"G_ema_best0.pth", "state_dict_best0.pth", icgan_instances()}
    assert names(weights_directory) == {"icgan-128.safetensors"}
    assert generators.load("icgan-128").sample_condition(range(3), 0) is not None


def test_what_is_not_required_may_be_missing(server: str, manners: Manners) -> None:
    del manners.content["/stored.tar.gz"]
    events = Recorder()
    found = fetch_generator("icgan-128", events=events, policy=QUICK)
    assert set(found["sources"]) == {"G_ema_best0.pth", "state_dict_best0.pth"}
    assert "without instances." in events.warnings[0]


def test_an_interrupted_fetch_goes_on(server: str, manners: Manners, weights_directory: Path) -> None:
    manners.cut = [20_000, 0, 0, 0, 0]
    with pytest.raises(Unreachable, match="20,000 bytes are kept") as caught:
        fetch_generator("bigbigan", policy=QUICK)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert "same command" in caught.value.fix
    manners.seen.clear()
    manners.cut = []
    fetch_generator("bigbigan", policy=QUICK)
    assert ("/BigBiGAN_x1.pth", "bytes=20000-") in manners.seen
    assert names(weights_directory) == {"bigbigan.safetensors"}


def test_offline_it_names_the_file_the_address_and_the_way_by_hand(
    server: str, manners: Manners, weights_directory: Path
) -> None:
    manners.content.clear()
    with pytest.raises(EnvironmentFault) as caught:
        fetch_generator("bigbigan", policy=QUICK)
    assert caught.value.code is ExitCode.ENVIRONMENT
    assert "BigBiGAN_x1.pth of 'bigbigan' could not be fetched: the server answered 404" in caught.value.what
    assert f"{server}/BigBiGAN_x1.pth" in caught.value.what
    assert f"{server}/gone" in caught.value.fix
    assert "copgen generator import bigbigan BigBiGAN_x1.pth" in caught.value.fix
    assert list(weights_directory.iterdir()) == []


def test_another_hash_than_the_published_one_is_refused(
    server: str, monkeypatch: pytest.MonkeyPatch, weights_directory: Path
) -> None:
    entry = registry.entry("bigbigan")
    files = (replace(entry.files[0], sha256="0" * 64),)
    monkeypatch.setitem(registry.KNOWN, "bigbigan", replace(entry, files=files))
    with pytest.raises(DataError, match="the published one is 0000"):
        fetch_generator("bigbigan", policy=QUICK)
    assert not (weights_directory / "bigbigan.safetensors").exists()


@pytest.mark.parametrize(
    ("path", "content", "match"),
    [
        ("/BigBiGAN_x1.pth", b"<html>Sign in</html>", "gave a web page"),
        ("/BigBiGAN_x1.pth", b"PK\x03\x04 and nothing", "truncated"),
    ],
)
def test_what_is_not_the_file_is_removed_and_can_be_fetched_again(
    server: str, manners: Manners, weights_directory: Path, path: str, content: bytes, match: str
) -> None:
    whole = manners.content[path]
    manners.content[path] = content
    with pytest.raises(DataError, match=match):
        fetch_generator("bigbigan", policy=QUICK)
    assert not (weights_directory / "bigbigan.safetensors").exists()
    manners.content[path] = whole
    assert fetch_generator("bigbigan", policy=QUICK)["tensors"] > 100


def test_a_damaged_archive_is_fetched_again(server: str, manners: Manners) -> None:
    whole = manners.content["/icgan.tar.gz"]
    manners.content["/icgan.tar.gz"] = whole[:1000]
    with pytest.raises(DataError, match=r"\.tar\.gz is truncated"):
        fetch_generator("icgan-128", policy=QUICK)
    manners.content["/icgan.tar.gz"] = whole
    fetch_generator("icgan-128", policy=QUICK)


def test_two_at_once_do_not_mix(server: str, weights_directory: Path) -> None:
    with (
        locked(weights_directory / "bigbigan.download"),
        pytest.raises(EnvironmentFault, match="in use by another copgen"),
    ):
        fetch_generator("bigbigan", policy=QUICK)


def test_what_was_never_published_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'digits' .*with copgen"):
        fetch_generator("digits")
