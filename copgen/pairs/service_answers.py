"""What an error of an object store means: try again, the file exists, or conditional puts are not supported.

Stores that speak S3's protocol differ in their answers, and clients turn them into exceptions of many types. The HTTP
status decides where there is one, and otherwise the error number that the client chose for it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST_WAIT_S = 30.0  # however long a store asks to wait
_TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}
_TRY_AGAIN_CODES = {"OperationAborted", "ConditionalRequestConflict", "RequestTimeout", "SlowDown"}
_TRY_AGAIN_ERRORS = {errno.EBUSY, errno.EREMOTEIO}  # s3fs's, for 409 and 503, and for 500
_NOT_IMPLEMENTED, _CONDITION_FAILED = 501, 412


def asks_to_try_again(error: BaseException) -> bool:
    """Whether the store refused a request only for the moment: it is busy, or another writer was at work."""
    status, code = _status(error), _code(error)
    if status is None and not code:
        return isinstance(error, OSError) and error.errno in _TRY_AGAIN_ERRORS
    return status in _TRY_AGAIN or code in _TRY_AGAIN_CODES


def has_no_conditions(error: BaseException) -> bool:
    """Whether the store, or its client, does not implement the condition of a conditional put."""
    if _status(error) == _NOT_IMPLEMENTED or _code(error) == "NotImplemented":
        return True
    return isinstance(error, NotImplementedError) or (isinstance(error, OSError) and error.errno == errno.ENOSYS)


def says_it_exists(error: BaseException) -> bool:
    """Whether the condition of a conditional put failed."""
    return isinstance(error, FileExistsError) or _status(error) == _CONDITION_FAILED


def requested_wait(error: BaseException) -> float:
    """The seconds of a Retry-After header; 0 if there is none."""
    for response in _responses(error):
        value = str(_at(response, "ResponseMetadata", "HTTPHeaders", "retry-after") or "")
        if value.isascii() and value.isdigit():
            return min(float(value), LONGEST_WAIT_S)
    return 0.0


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and its causes."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__


def _responses(error: BaseException) -> Iterator[Mapping[str, Any]]:
    """The responses that boto's exceptions carry."""
    for link in _chain(error):
        if isinstance(response := getattr(link, "response", None), Mapping):
            yield response


def _at(tree: Any, *path: str) -> Any:
    for name in path:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def _status(error: BaseException) -> int | None:
    """The HTTP status; None if there was no answer, or the client does not say."""
    for response in _responses(error):
        if isinstance(status := _at(response, "ResponseMetadata", "HTTPStatusCode"), int):
            return status
    for link in _chain(error):  # aiohttp's have `status`, Google's `code`
        for status in (getattr(link, "status", None), getattr(link, "code", None)):
            if str(status).isdigit():
                return int(str(status))
    return None


def _code(error: BaseException) -> str:
    """S3's name of the error; empty if there is none."""
    return next((str(code) for response in _responses(error) if (code := _at(response, "Error", "Code"))), "")
