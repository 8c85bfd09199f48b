"""Stores for the tests: a folder, fsspec's memory, and an S3 server of this process where moto is installed."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pytest

KINDS = ("folder", "memory", "s3")
_numbers = itertools.count()


@contextmanager
def s3_server(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket's URL on a server in this process; the environment points to it meanwhile."""
    if find_spec("moto") is None or find_spec("s3fs") is None:
        pytest.skip("moto's server and s3fs are not installed; they come with copgen[dev]")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        with suppress(FileExistsError):  # what moto holds outlives its servers
            fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    finally:
        server.stop()


def new_place(kind: str, folder: Path, bucket: str) -> str:
    """A new store location of a kind."""
    if kind == "folder":
        return str(folder / f"pairs-{next(_numbers)}")
    return f"{'memory://' if kind == 'memory' else bucket + '/'}pairs-{next(_numbers)}"


def content(place: str) -> dict[str, bytes]:
    """Every file of a place with its bytes, by its name in it."""
    service, root = fsspec.url_to_fs(place, use_listings_cache=False)
    found = {str(path): service.cat_file(path) for path in service.find(root)}
    start = len(root.rstrip("/")) + 1
    return {name[start:]: data for name, data in found.items()}
