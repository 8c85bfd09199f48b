"""The page in a browser: no complaint, no request, images load, nothing wider than the window, dark and light."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from copgen.report.page import find, page_of
from tests.report.page import made
from tests.report.page.browser import Browser, installed, started

pytestmark = pytest.mark.skipif(
    installed() is None, reason="no Chromium here; on Debian: apt-get install chromium-headless-shell"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = installed()
    assert program is not None
    with started(program) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    made.navigate_run(folder / "navigate")
    made.navigate_run(folder / f"faces {'very-long-name-' * 8}", generator=made.HOSTILE, colour=True)
    made.pretrain_run(folder / "pretrain")
    file = folder / "report.html"
    file.write_text(page_of(*find([folder])).html, "utf-8")
    return file


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page(width: int, dark: bool, browser: Browser, page: Path) -> None:
    browser.open(page.as_uri(), width=width, dark=dark)
    assert browser.complaints == []
    assert browser.requests == []
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.value("document.images.length") > 300
    assert browser.value("[...document.images].filter(one => !one.complete || !one.naturalWidth).length") == 0
    ground, ink = (
        browser.value(f"getComputedStyle(document.body).{name}.match(/\\d+/g).slice(0, 3).map(Number)")
        for name in ("backgroundColor", "color")
    )
    assert (sum(ground) < sum(ink)) == dark
    assert abs(sum(ground) - sum(ink)) > 500
    # No text of a chart is cut off at its edge.
    outside = """[...document.querySelectorAll('.chart svg')].flatMap(svg => {
        const edge = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('text')].filter(text => {
            const box = text.getBoundingClientRect();
            return box.left < edge.left - 1 || box.right > edge.right + 1;
        }).map(text => text.textContent);
    })"""
    assert browser.value(outside) == []


def test_the_slider_shows_a_frame(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri(), width=1280)
    move = """(() => {
        const input = document.querySelector('.scrub input');
        input.value = 2;
        input.dispatchEvent(new Event('input'));
        const reel = document.querySelector('.reel');
        return [input.nextElementSibling.value, reel.style.backgroundPosition, getComputedStyle(reel).animationName];
    })()"""
    assert browser.value(move) == ["2,000", "0px 25%", "none"]
