"""A pairs folder in an object store, reached through fsspec: `s3://`, `gs://`, `memory://`.

A shard is made in a local temporary folder and uploaded: tar, index, and last the record. An upload becomes visible
when it is complete, so a worker that dies in between leaves nothing, or files without a record, which do not count.
Claims are conditional puts (`If-None-Match` on S3, a generation match on Google Cloud Storage). If a service does not
support them, two workers may make the same shard, which wastes time but gives the same bytes. Requests that a service
refuses for the moment are repeated.
"""

from __future__ import annotations

import posixpath
import random
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from copgen.pairs import layout
from copgen.pairs.service_answers import asks_to_try_again, has_no_conditions, requested_wait, says_it_exists
from copgen.runtime.errors import CopgenError, DataError, EnvironmentFault, UsageError

Answer = TypeVar("Answer")
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # before each repetition, besides those of the client
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
BUCKETS = {*EXTRAS, "az", "abfs", "abfss", "adl", "oci", "oss"}  # where only the bucket has to exist, not folders


class _NoConditionsError(Exception):
    """The service has no conditional puts."""


class ObjectStore:
    """The files below a URL."""

    pause_s = 2.0

    def __init__(self, url: str) -> None:
        self._conditions = True  # until the service says that it has none
        self.url = url.rstrip("/")
        protocol = self._protocol = url.partition("://")[0]
        if protocol not in fsspec.available_protocols():
            raise UsageError(
                f"'{url}' has the unknown protocol '{protocol}'.", fix="Pass a folder, or a URL with s3:// or gs://."
            )
        try:
            with self._faults(""):
                # Other workers write too, so listings must not be cached.
                self._service, self._root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            extra = EXTRAS.get(protocol)
            fix = f"pip install 'copgen[{extra}]'" if extra else f"Install the package that fsspec needs: {error}."
            raise EnvironmentFault(f"{url} needs a package that is not installed.", fix=fix) from None

    @contextmanager
    def _faults(self, name: str) -> Iterator[None]:
        """Convert errors of the service to copgen's. A missing or an existing file is an answer, not an error."""
        try:
            yield
        except (CopgenError, FileNotFoundError, _NoConditionsError, ImportError):
            raise
        except Exception as error:  # every client has its own exceptions
            reason = str(error).strip().rstrip(".") or type(error).__name__
            raise EnvironmentFault(
                f"{self.where(name)} cannot be reached: {reason}.",
                fix="Check the address, the credentials and the network, then run the same command to resume.",
            ) from error

    def _path(self, name: str) -> str:
        return posixpath.join(self._root, name) if name else self._root

    def where(self, name: str = "") -> str:
        return f"{self.url}/{name}" if name else self.url

    def _ask(self, name: str, request: Callable[[], Answer]) -> Answer:
        """The answer to a request, which is repeated while the service asks for that; errors as `_faults`."""
        with self._faults(name):
            for wait in WAITS_S:
                try:
                    return request()
                except Exception as error:
                    if not asks_to_try_again(error):
                        raise
                    time.sleep(
                        max(requested_wait(error), wait * random.uniform(0.5, 1.0))
                    )  # workers must not keep step
            return request()

    def _put(self, name: str, request: Callable[[], Answer]) -> Answer:
        """The answer to a request that writes a file; its folder is made where it has to exist, as on sftp://."""
        try:
            return self._ask(name, request)
        except FileNotFoundError:
            if self._protocol in BUCKETS:
                raise EnvironmentFault(
                    f"{self.where(name)} cannot be written: there is no such bucket.", fix="Create the bucket first."
                ) from None
        try:
            self._ask(name, lambda: self._service.makedirs(posixpath.dirname(self._path(name)), exist_ok=True))
            return self._ask(name, request)
        except FileNotFoundError as error:
            raise EnvironmentFault(
                f"{self.where(name)} cannot be written: {error}.", fix="Check the address, and create its folder."
            ) from None

    def read(self, name: str) -> bytes:
        try:
            data: bytes = self._ask(name, lambda: self._service.cat_file(self._path(name)))
        except FileNotFoundError:
            raise DataError(f"{self.where(name)} is missing.") from None
        return data

    def read_all(self, folder: str) -> dict[str, bytes]:
        paths = [self._path(f"{folder}/{name}") for name in self.sizes(folder)]

        def fetch() -> dict[str, bytes]:
            contents: dict[str, bytes | Exception] = self._service.cat(paths, on_error="return")
            found = {}
            for path, data in contents.items():
                if isinstance(data, bytes):
                    found[posixpath.basename(path)] = data
                elif not isinstance(data, FileNotFoundError):  # removed since the listing
                    raise data
            return found

        return self._ask(folder, fetch) if paths else {}

    def sizes(self, folder: str) -> dict[str, int]:
        try:
            entries: list[dict[str, Any]] = self._ask(folder, lambda: self._service.ls(self._path(folder), detail=True))
        except FileNotFoundError:
            return {}
        files = {posixpath.basename(entry["name"]): entry["size"] for entry in entries if entry["type"] == "file"}
        return {name: size for name, size in files.items() if name}

    def size(self, name: str) -> int | None:
        try:
            size: int = self._ask(name, lambda: self._service.info(self._path(name)))["size"]
        except FileNotFoundError:
            return None
        return size

    def write(self, name: str, data: bytes) -> None:
        self._put(name, lambda: self._service.pipe_file(self._path(name), data))

    def create(self, name: str, data: bytes) -> bool:
        if self._conditions:
            try:
                return self._put(name, lambda: self._put_if_free(name, data))
            except _NoConditionsError:
                self._conditions = False
                warnings.warn(
                    f"{self.url} has no conditional puts: two workers may make the same shard, with the same bytes.",
                    RuntimeWarning,
                    stacklevel=2,
                )
        if self.size(name) is not None:
            return False
        self.write(name, data)
        return True

    def _put_if_free(self, name: str, data: bytes) -> bool:
        """Write a file if its name is free; _NoConditionsError if the service has no conditional puts."""
        try:
            self._service.pipe_file(self._path(name), data, mode="create")
        except Exception as error:
            if says_it_exists(error):
                return False
            if has_no_conditions(error):
                raise _NoConditionsError from error
            raise
        return True

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._ask(name, lambda: self._service.rm_file(self._path(name)))

    @contextmanager
    def shard_folder(self, number: int) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="copgen-") as local:
            yield Path(local)
            self.remove(layout.record_name(number))
            for name in (layout.tar_name(number), layout.index_name(number), layout.record_name(number)):
                self._put(name, partial(self._service.put_file, str(Path(local) / name), self._path(name)))

    @contextmanager
    def writers(self, *, overwrite: bool) -> Iterator[None]:
        if overwrite:
            if held := self.sizes(layout.CLAIMS):
                raise EnvironmentFault(
                    f"{self.url} is in use: {self.where(layout.CLAIMS)}/{min(held)} exists.",
                    fix=f"Wait for its workers; if there are none, remove {self.where(layout.CLAIMS)}/.",
                )
            # Records first: a shard without its record does not exist, even after a crash in between.
            for folder in (layout.RECORDS, layout.SHARDS, layout.POOL):
                for name in self.sizes(folder):
                    self.remove(f"{folder}/{name}")
            for name in (layout.MANIFEST, layout.CARD, layout.PLACES, layout.PLAN):
                self.remove(name)
        yield

    def tidy(self) -> None:
        for folder in (layout.CLAIMS, layout.POOL):
            for name in self.sizes(folder):
                self.remove(f"{folder}/{name}")
