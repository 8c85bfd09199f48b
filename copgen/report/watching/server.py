"""A server of one page, on 127.0.0.1 only: GET /TOKEN/ is the page, GET /TOKEN/events tells when it has changed.

The token is random, and known to those who see what the command prints: every user of this machine can connect to its
ports. Nothing can be changed through the server, no file is served, and requests that were made for another host are
refused, so that a web page elsewhere cannot read it through the browser. It runs in threads of its own and ends with
its context.
"""

from __future__ import annotations

import errno
import hmac
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from copgen.report.watching.rendering import Rendering
from copgen.runtime.errors import EnvironmentFault, UsageError

HOST = "127.0.0.1"
MOST_LISTENERS = 16
TOKEN_BYTES = 16  # of randomness
PLAIN = "text/plain; charset=utf-8"
TICK_S, HEARTBEAT_S, IDLE_S = 0.5, 15.0, 60.0
LAST_LOOK_S = 3.0  # for open pages to fetch the end of the run


class Watch:
    """Serves the page of a run folder inside this context.

    Args:
        folder: the run, which may not have begun.
        port: 0: any free one.

    Attributes:
        url: where the page is, with the token; valid inside the context.

    Raises:
        UsageError: no such port.
        EnvironmentFault: the port is taken, or not allowed.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        if not 0 <= port <= 65535:
            raise UsageError(f"There is no port {port}.", fix="Choose one from 1024 to 65535, or leave --port out.")
        self._port = port
        self._rendering = Rendering(folder)
        self._ended = threading.Event()
        self.url = ""

    def __enter__(self) -> Watch:
        try:
            self._server = _Server((HOST, self._port), _Handler)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is taken by another program" if taken else f"cannot be opened: {error.strerror}"
            raise EnvironmentFault(
                f"Port {self._port} of {HOST} {why}.", fix="Choose another --port, or leave it out for any free one."
            ) from None
        self._server.rendering, self._server.ended = self._rendering, self._ended
        self._server.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.url = f"http://{HOST}:{self._server.server_port}/{self._server.token}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": TICK_S}, name="watch", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell open pages that the run has ended, and stop."""
        self._ended.set()
        until = time.monotonic() + (LAST_LOOK_S if kind is None else 0.0)
        while self._server.listeners and time.monotonic() < until:
            time.sleep(0.05)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16
    rendering: Rendering
    ended: threading.Event
    token: str
    listeners: int = 0  # open pages that have not seen the end
    counting = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """A page that was closed is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "copgen", ""
    timeout = IDLE_S

    def do_GET(self) -> None:
        """The page or its events."""
        token, slash, name = self.path.removeprefix("/").partition("/")
        if self.headers.get("Host", "") not in self._names():
            self._answer(403, b"This page is served to this machine only.\n", PLAIN)
        elif not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._answer(403, b"Open the address that the command has printed; it has a token.\n", PLAIN)
        elif slash and not name:
            self._answer(200, self.server.rendering.page(now=self.server.ended.is_set()), "text/html; charset=utf-8")
        elif name == "events":
            self._events()
        else:
            self._answer(404, b"There is only the page, whose address ends in /, and its events.\n", PLAIN)

    def _refused(self) -> None:
        self.close_connection = True
        self._answer(405, b"Only GET is answered.\n", PLAIN, Allow="GET")

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = _refused

    def _names(self) -> set[str]:
        return {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}

    def _answer(self, status: int, body: bytes, kind: str, **more: str) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            **more,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _events(self) -> None:
        """Server-sent events: `changed` when there is a new page, `ended` at the end of the run."""
        with self.server.counting:
            full = self.server.listeners >= MOST_LISTENERS
            self.server.listeners += not full
        if full:
            self._answer(503, b"Too many pages are open.\n", PLAIN)
            return
        try:
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Connection", "close")
            self.end_headers()
            self._follow()
        except OSError:
            pass  # the page was closed
        finally:
            with self.server.counting:
                self.server.listeners -= 1

    def _follow(self) -> None:
        rendering, ended = self.server.rendering, self.server.ended
        known, said = rendering.state(), time.monotonic()
        self._say("open")
        while not ended.wait(TICK_S):
            now = time.monotonic()
            if rendering.wait == 0.0 and (state := rendering.state()) != known:
                known, said = state, now
                self._say("changed")
            elif now - said > HEARTBEAT_S:
                said = now
                self.wfile.write(b": still here\n\n")
                self.wfile.flush()
        self._say("ended")
        time.sleep(TICK_S)  # for the last page to be fetched

    def _say(self, what: str) -> None:
        self.wfile.write(f"event: {what}\ndata: {what}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""
