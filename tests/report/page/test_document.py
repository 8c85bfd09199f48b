"""The page: what it contains, that it says what a run lacks, and that nothing in it leads outside."""

from __future__ import annotations

import json
import os
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from copgen.report.page import Page, find, page_of
from copgen.report.page.cells import read_sheet
from copgen.runtime.errors import DataError
from copgen.storage.processes import identity
from tests.report.comparison import made as results
from tests.report.page import made

VOID = {"meta", "link", "img", "input"}


class Outline(HTMLParser):
    """The text, tags and attributes of a document; a tag that is not closed is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def labels(self) -> set[str | None]:
        return {attributes.get("aria-label") for tag, attributes in self.tags if tag == "svg"}


def shown(*paths: Path) -> tuple[Page, Outline]:
    page = page_of(*find(paths))
    return page, Outline(page.html)


def test_a_finished_navigate_run_has_everything(tmp_path: Path) -> None:
    page, outline = shown(made.navigate_run(tmp_path / "run"))
    assert outline.labels() == {
        "losses of f and of T_z over the training",
        "distance d over the training",
        "standard deviation of trajectories over the training",
        "mean of trajectories over the training",
        "how close each stop rule is to acting",
        "histogram of d under the navigator",
        "split of the displacement",
        "displacement of each latent block",
    }
    assert [column.head for column in page.evolutions[0].columns][::8] == ["anchor", "7,000"]
    assert [column.group for column in page.evolutions[0].columns][-3:] == ["kept", "other", "other"]
    images = [attributes for tag, attributes in outline.tags if tag == "img"]
    assert len(images) == 16 * len(page.evolutions[0].columns) + 1
    assert all(attributes["alt"] for attributes in images)
    for told in ("kept 8,000", "chance 5.54", "\u03b4 = 0.05", "60 %", "ended by delta", "7,552", "that of copgen"):
        assert told in outline.text
    assert "6b314b32" in outline.text


def test_the_paper_s_curves_are_beside_bigbigan_only(tmp_path: Path) -> None:
    _, digits = shown(made.navigate_run(tmp_path / "digits"))
    _, bigbigan = shown(made.navigate_run(tmp_path / "bigbigan", generator="bigbigan", colour=True))
    for told in ("the paper", "the authors' own"):
        assert told not in digits.texts
        assert told in bigbigan.texts
    assert "none stated by the authors" in bigbigan.text


def test_what_a_run_lacks_is_said_with_the_remedy(tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run", finished=False)
    for file in ("previews/baselines.png", "environment.json"):
        (run / file).unlink()
    text = shown(run)[1].text
    assert "environment.json" in text
    assert "copgen navigate --overwrite" in text
    assert "copgen navigate --objective steering" in text
    assert "unfinished" in text


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('stage = "navigate"\ngenerator = "digits"\nsamples = 1000\nbatch = 10\n')
    (tmp_path / "LOCK").write_text(f"{os.getpid()}\n")
    page, outline = shown(tmp_path)
    assert "still running" in outline.text
    assert page.drawings == {}
    assert "preview_every" in outline.text


def test_a_run_of_another_machine_is_not_said_to_be_running(tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run", finished=False)
    (run / "LOCK").write_text(json.dumps({**identity(), "machine": "another"}))
    text = shown(run)[1].text
    assert "still running" not in text
    assert "another machine" in text


def test_a_pretrain_run(tmp_path: Path) -> None:
    _, outline = shown(made.pretrain_run(tmp_path / "run"))
    assert {"loss over the training", "learning rate", "effective rank of the features"} <= outline.labels()
    assert "probes during the training" in outline.labels()
    assert "95.0 %" in outline.text


def test_results_are_beside_the_paper_s(tmp_path: Path) -> None:
    results.written(tmp_path / "a" / "eval" / "linear", results.made_by())
    _, outline = shown(tmp_path)
    assert "Top-1 %" in outline.text
    assert "method" in outline.text


@pytest.mark.parametrize("live", [False, True])
def test_nothing_leads_outside(live: bool, tmp_path: Path) -> None:
    html = page_of(*find([made.navigate_run(tmp_path / "run")]), live=live).html
    outline = Outline(html)
    policy = next(one["content"] for tag, one in outline.tags if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert ("connect-src 'self'" in policy) == live
    assert ("connect-src 'none'" in policy) != live
    for tag, attributes in outline.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes)
    assert not re.search(r"url\((?!data:image/webp;base64,)", html)
    assert "@import" not in html


def test_names_and_messages_are_escaped(tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "<b>&'\"", generator=made.HOSTILE, stop=made.HOSTILE, weights=made.HOSTILE)
    (run / "log.txt").write_text(made.HOSTILE + "\n\x1b[31m")
    summary = json.loads((run / "summary.json").read_text())
    summary |= {
        "ended_by": made.HOSTILE,
        "stop_rules": {made.HOSTILE: {"measure": made.HOSTILE, "limit": made.HOSTILE}},
    }
    (run / "summary.json").write_text(json.dumps(summary))
    environment = {"inputs": {made.HOSTILE: made.HOSTILE}, "versions": {made.HOSTILE: 1}, "device": made.HOSTILE}
    (run / "environment.json").write_text(json.dumps(environment))
    page, outline = shown(run)
    assert made.HOSTILE not in page.html
    assert made.HOSTILE in outline.text
    assert not any("onerror" in attributes or attributes.get("src") == "x" for _, attributes in outline.tags)
    assert sum(tag == "script" for tag, _ in outline.tags) == 1
    assert "\x1b" not in page.html


@pytest.mark.parametrize("name", ["summary.json", "environment.json", "displacement.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_damaged_document_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run")
    (run / name).write_bytes(content)
    assert name in shown(run)[1].text


@pytest.mark.parametrize(
    "name", ["config.toml", "summary.json", "environment.json", "displacement.json", "metrics.jsonl", "log.txt"]
)
def test_text_files_as_other_systems_write_them(name: str, tmp_path: Path) -> None:
    """A byte-order mark and CRLF are read; anything else is read or named."""
    run = made.navigate_run(tmp_path / "run", checks=1)
    (run / "log.txt").write_text("a line\n")
    text = (run / name).read_text()
    usual = shown(run)[1].text
    (run / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert shown(run)[1].text == usual or name == "log.txt"
    for content in (text.replace("s", "\u00df").encode("latin-1"), b"", b"[1]\n"):
        (run / name).write_bytes(content)
        try:
            told = shown(run)[1].text
        except DataError as error:
            told = str(error)
        assert name in told or name == "log.txt" or (name == "metrics.jsonl" and not content)


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, [1, "x"], {"d": 1}, {"d": {"edges": "x", "counts": [1]}}])
def test_documents_with_other_values_are_no_bug(value: Any, tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run")
    for name, keys in {
        "summary.json": ("samples", "stop_rules", "shift", "ended_by", "loss_smoothed", "chance"),
        "displacement.json": ("d", "split", "blocks", "draws"),
        "environment.json": ("inputs", "versions", "device"),
    }.items():
        tree = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(tree | dict.fromkeys(keys, value)))
    shown(run)


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"no picture"])
def test_a_damaged_preview_is_left_out_and_named(content: bytes, tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run")
    (run / "previews" / "samples-0000003000.png").write_bytes(content)
    page, outline = shown(run)
    assert "samples-0000003000.png" in outline.text
    assert "3,000" not in [column.head for column in page.evolutions[0].columns]


def test_damaged_metrics_are_counted(tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as file:
        file.write("{damaged\n")
    assert "1 of 63 lines of metrics.jsonl" in shown(run)[1].text


@pytest.mark.parametrize("content", [None, b"", b"a = 1\n", b'[stage]\na = "navigate"\n'])
def test_a_folder_without_a_run_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.toml").write_bytes(content)
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=re.escape(str(tmp_path))) as caught:
        find([tmp_path])
    assert "copgen navigate" in caught.value.fix


def test_settings_that_are_not_toml_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("= [")
    with pytest.raises(DataError, match=r"config\.toml"):
        find([tmp_path])


def test_a_walk_with_the_same_anchors_gives_a_column(tmp_path: Path) -> None:
    run = made.navigate_run(tmp_path / "run")
    walk = made.navigate_run(tmp_path / "walk")
    (walk / "config.toml").write_text('stage = "navigate steering"\ngenerator = "digits"\n')
    made.sheet(walk / "previews" / "final.png", rows=3, seed=77)
    page, _ = shown(run, walk)
    assert page.evolutions[0].columns[-1].head == "steering"


def test_cells_are_those_that_were_rendered(tmp_path: Path) -> None:
    made.sheet(tmp_path / "a.png", rows=2)
    made.sheet(tmp_path / "b.png", rows=2, side=256, colour=True)
    small, large = read_sheet(tmp_path / "a.png"), read_sheet(tmp_path / "b.png")
    assert len(small.rows) == 2
    assert {image.size for row in small.rows for image in row} == {(8, 8)}
    assert {image.mode for image in large.rows[0]} == {"RGB"}


def test_the_page_of_a_thousand_checks_is_small_and_quick(tmp_path: Path) -> None:
    """The limits are 10 s and 20 MB; see docs/report.md for what was measured."""
    run = made.navigate_run(tmp_path / "run", checks=40)
    line = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(line * 30)
    previews = run / "previews"
    for check in range(41, 1000):
        (previews / f"samples-{1000 * check:010d}.png").hardlink_to(previews / "samples-0000040000.png")
    began = time.process_time()
    page, _ = shown(run)
    assert time.process_time() - began < 10
    assert len(page.html) < 2 * 10**6
    assert len(page.evolutions[0].frames) == 24
