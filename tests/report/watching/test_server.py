"""The server of a run's page: what it answers, what it refuses, and that it follows the run to its end."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from copgen.report.watching import Watch, rendering
from copgen.report.watching.rendering import Rendering
from copgen.runtime.errors import EnvironmentFault, UsageError
from tests.report.page import made
from tests.report.page.browser import installed, started


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "LEAST_S", 0.0)
    monkeypatch.setattr(rendering, "SHARE", 0.0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made.navigate_run(tmp_path / "run", checks=2, finished=False)


@pytest.fixture
def watch(run: Path) -> Iterator[Watch]:
    with Watch(run) as found:
        yield found


def ask(
    watch: Watch, path: str = "", *, method: str = "GET", host: str | None = None, start: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    """The answer for a path below `start`, by default the page's address."""
    url = urlsplit(watch.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    target = (url.path if start is None else start) + path
    connection.request(method, target, headers={"Host": url.netloc if host is None else host})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def grow(run: Path) -> None:
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({**line, "samples": 77_777}) + "\n")


def test_the_page(watch: Watch, run: Path) -> None:
    status, headers, body = ask(watch)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert b"EventSource" in body
    assert b"connect-src &#x27;self&#x27;" in body
    grow(run)
    assert b"77,777" in ask(watch)[2]


@pytest.mark.parametrize("path", ["config.toml", "../config.toml", "previews/final.png", "?a", "events/", "/", "x"])
def test_no_file_is_served(path: str, watch: Watch) -> None:
    assert ask(watch, path)[0] == 404


@pytest.mark.parametrize("start", ["/", "", "//", "/guess/", "/{token}a/", "/{short}/", "/?{token}/", "{token}x/"])
@pytest.mark.parametrize("path", ["", "events", "config.toml"])
def test_who_does_not_know_the_token_sees_nothing(start: str, path: str, watch: Watch) -> None:
    """Every user of the machine can connect to its ports."""
    token = urlsplit(watch.url).path.strip("/")
    status, _, body = ask(watch, path, start=start.format(token=token, short=token[:-1]) or "x")
    assert status == 403
    assert token.encode() not in body


def test_a_token_that_is_not_ascii_is_a_wrong_one(watch: Watch) -> None:
    url = urlsplit(watch.url)
    with socket.create_connection((str(url.hostname), url.port), timeout=60) as connection:
        connection.sendall(b"GET /\xe9/ HTTP/1.0\r\nHost: %s\r\n\r\n" % url.netloc.encode())
        assert b" 403 " in connection.makefile("rb").readline()


def test_every_server_has_a_token_of_its_own(watch: Watch, run: Path) -> None:
    with Watch(run) as other:
        tokens = {urlsplit(one.url).path.strip("/") for one in (watch, other)}
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 22  # 128 bits


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_nothing_can_be_changed(method: str, watch: Watch) -> None:
    status, headers, _ = ask(watch, method=method)
    assert (status, headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "localhost"])
@pytest.mark.parametrize("path", ["", "events"])
def test_requests_for_another_host_are_refused(path: str, host: str, watch: Watch) -> None:
    """A page elsewhere, whose name was made to lead here, cannot read the run."""
    port = urlsplit(watch.url).port
    assert ask(watch, path, host=host.format(port=port))[0] == 403
    assert ask(watch, host=f"localhost:{port}")[0] == 200


def test_only_this_machine_is_answered(watch: Watch) -> None:
    assert watch.url.startswith("http://127.0.0.1:")


def events(watch: Watch) -> Iterator[str]:
    url = urlsplit(watch.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    connection.request("GET", f"{url.path}events", headers={"Host": url.netloc})
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "text/event-stream; charset=utf-8"
    while line := answer.readline():
        if line.startswith(b"event: "):
            yield line.decode().removeprefix("event: ").strip()


def test_events_tell_of_changes_and_of_the_end(run: Path) -> None:
    with Watch(run) as watch:
        told = events(watch)
        assert next(told) == "open"
        grow(run)
        assert next(told) == "changed"
        seen: list[str] = []
        reader = threading.Thread(target=lambda: seen.extend(told))
        reader.start()
    reader.join(60)
    assert seen == ["ended"]
    with pytest.raises(OSError, match="refused"):
        ask(watch)


def test_a_run_that_has_not_begun(tmp_path: Path) -> None:
    with Watch(tmp_path / "new") as watch:
        assert b"has not begun" in ask(watch)[2]
        made.navigate_run(tmp_path / "new", checks=2)
        assert b"histogram" in ask(watch)[2]


@pytest.mark.parametrize("content", [b"= [", b"", b"\xff"])
def test_settings_that_cannot_be_read_are_named(content: bytes, watch: Watch, run: Path) -> None:
    (run / "config.toml").write_bytes(content)
    status, _, body = ask(watch)
    assert status == 200
    assert b"config.toml" in body


def test_a_taken_port(run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=str(port)) as caught, Watch(run, port=port):
            pass
    assert "--port" in caught.value.fix


def test_an_impossible_port(run: Path) -> None:
    with pytest.raises(UsageError, match="65536"):
        Watch(run, port=65536)


def test_it_is_rendered_only_now_and_then(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "LEAST_S", 3.0)
    monkeypatch.setattr(rendering, "SHARE", 20.0)
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    page = Rendering(run)
    first = page.page()
    grow(run)
    clock[0] += 2.9
    assert page.page() is first
    assert page.wait == pytest.approx(0.1)
    assert b"77,777" in page.page(now=True)
    clock[0] += 3.0
    last = page.page()
    clock[0] += 3.0
    assert page.page() is last  # nothing has changed


@pytest.mark.skipif(installed() is None, reason="no Chromium here; on Debian: apt-get install chromium-headless-shell")
def test_an_open_page_follows_the_run(run: Path) -> None:
    program = installed()
    assert program is not None
    with started(program) as browser:
        with Watch(run) as watch:
            browser.open(watch.url, width=1280)
            browser.value("document.querySelector('details').open = true")
            grow(run)
            until = time.monotonic() + 60
            while "77,777" not in browser.value("document.body.textContent"):
                assert time.monotonic() < until
                browser.wait(0.2)
            assert browser.value("document.querySelector('details').open")
            made.finish(run, samples=88_888, chance=5.5, colour=False)
        until = time.monotonic() + 60
        while "88,888" not in browser.value("document.body.textContent"):
            assert time.monotonic() < until
            browser.wait(0.2)
        assert browser.complaints == []
        assert {url.removeprefix(watch.url) for url in browser.requests} == {"", "events"}
