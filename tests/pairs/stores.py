"""Stores for the tests: a folder, fsspec's memory, and an S3 server of this process where moto is installed."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

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


class WithFolders(LocalFileSystem):  # type: ignore[misc]
    """A service at folders:// whose folders have to exist, as on sftp://."""

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).removeprefix("folders://"))


fsspec.register_implementation("folders", f"{__name__}.{WithFolders.__name__}", clobber=True)
Environ = dict[str, Any]


@contextmanager
def answering(patch: pytest.MonkeyPatch, choose: Callable[[Environ], tuple[str, str] | None]) -> Iterator[list[str]]:
    """Let the server of `s3_server` refuse requests, and list those that it refuses.

    Args:
        patch: undone by its owner.
        choose: gives the HTTP status line and S3's error code for a request that is refused, else None.
    """
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication

    serve = DomainDispatcherApplication.__call__
    refused: list[str] = []

    def dispatch(application: Any, environ: Environ, start_response: Any) -> Any:
        answer = choose(environ)
        if answer is None:
            return serve(application, environ, start_response)
        status, code = answer
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if "chunked" not in environ.get("HTTP_TRANSFER_ENCODING", ""):
            environ["wsgi.input"].read(length)
        refused.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        start_response(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>The test says {code}.</Message></Error>".encode()]

    patch.setattr(DomainDispatcherApplication, "__call__", dispatch)
    yield refused


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
