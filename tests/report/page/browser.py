"""A headless Chromium, driven over its debugging pipe; without a browser, tests that need one are skipped."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_S = 180.0


def installed() -> str | None:
    """The program, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab.

    Attributes:
        complaints: what the console and the log of the page said, since the last `open`.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._buffer = b""
        self._count = 0
        self.complaints: list[str] = []
        self._events: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def open(self, url: str, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Load a page, in a window of this size and with this preference."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self.resize(width, height)
        self.complaints.clear()
        self._events.clear()
        self._ask("Page.navigate", url=url)
        until = time.monotonic() + PATIENCE_S
        while "Page.loadEventFired" not in self._events:
            assert time.monotonic() < until, f"{url} was not loaded"
            self.wait(0.05)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window."""
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def wait(self, seconds: float) -> None:
        """Take in what the page does meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if b"\0" in self._buffer or select.select([self._read], [], [], left)[0]:
                self._next()

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write a PNG of the window, or of the whole page."""
        found = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        number = self._count
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        until = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < until, f"no answer to {method}"
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                found: dict[str, Any] = answer["result"]
                return found

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            self._buffer += os.read(self._read, 2**20)
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        method, told = message.get("method", ""), message.get("params", {})
        self._events.append(method)
        if method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(told["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(str(told["entry"]))
        elif method == "Network.requestWillBeSent":
            url = told["request"]["url"]
            if not url.startswith(("data:", "file:", "about:")):
                self._events.append(f"request {url}")
        return message

    @property
    def requests(self) -> list[str]:
        """The URLs that were asked for since the last `open`, without data and files."""
        return [event.removeprefix("request ") for event in self._events if event.startswith("request ")]


@contextmanager
def started(program: str) -> Iterator[Browser]:
    """A browser until the block ends."""
    to_read, to_write = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="copgen-browser-", ignore_cleanup_errors=True) as folder:
        # The debugging pipe is on descriptors 3 (its input) and 4 (its output).
        line = (
            f"exec {program} --headless --no-sandbox --disable-gpu --remote-debugging-pipe --disable-dev-shm-usage "
            f"--no-first-run --hide-scrollbars --user-data-dir={folder} 3<&{to_write[0]} 4>&{to_read[1]}"
        )
        process = subprocess.Popen(
            ["bash", "-c", line],
            pass_fds=(to_write[0], to_read[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_write[0])
        os.close(to_read[1])
        try:
            yield Browser(to_read[0], to_write[1])
        finally:
            process.terminate()
            process.wait()
            os.close(to_read[0])
            os.close(to_write[1])
