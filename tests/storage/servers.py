"""A local HTTP server whose manners a test chooses."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Manners:
    """What the server does.

    Attributes:
        content: path -> bytes.
        ranges: whether it knows Range requests.
        tag: the ETag of every file; None sends none.
        cut: connections break off after so many bytes, that many times.
        status: path -> the code it answers with, if not 200 or 206.
        kind: the content type.
        announced: whether it says how long a file is.
        seen: (path, Range header) of each request.
    """

    content: dict[str, bytes]
    ranges: bool = True
    tag: str | None = '"v1"'
    cut: list[int] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    kind: str = "application/octet-stream"
    announced: bool = True
    moved: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    manners: Manners

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        manners, asked = self.manners, self.headers.get("Range")
        manners.seen.append((self.path, asked))
        if self.path in manners.moved:
            self.send_response(302)
            self.send_header("Location", manners.moved[self.path])
            self.end_headers()
            return
        if self.path in manners.status or self.path not in manners.content:
            self.send_error(manners.status.get(self.path, 404))
            return
        whole = manners.content[self.path]
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and manners.ranges else 0
        if asked and manners.ranges and self.headers.get("If-Range") not in (None, manners.tag):
            start = 0
        if start and start >= len(whole):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(whole)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        if manners.tag:
            self.send_header("ETag", manners.tag)
        if manners.announced:
            self.send_header("Content-Length", str(len(whole) - start))
        self.send_header("Content-Type", manners.kind)
        self.end_headers()
        body = whole[start:]
        if manners.cut:
            body = body[: manners.cut.pop(0)]
        self.wfile.write(body)


@contextlib.contextmanager
def serving(manners: Manners) -> Iterator[str]:
    """Serve on a free port of this machine; gives the address."""
    handler = type("Mannered", (Handler,), {"manners": manners})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
