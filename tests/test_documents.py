"""What people read beside the code leads where it says: links, paths, the index, the packages, the version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import copgen
from tests.test_source import ROOMS, ROOT

OTHERS = [ROOT / "benchmarks/README.md", ROOT / "examples/plugin_gan/README.md"]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *OTHERS]
GUIDES = [ROOT / "CONTRIBUTING.md", ROOT / "docs/architecture.md"]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
PATH = re.compile(r"`((?:benchmarks|copgen|copgen_cli|csrc|docs|kernels|tests)/[\w./-]*)`")


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The headings of a page as their links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or path.suffix != ".md" or anchor in anchors(path), f"{target}#{anchor}"


@pytest.mark.parametrize("page", GUIDES, ids=shown)
def test_the_paths_of_the_guides_are_there(page: Path) -> None:
    paths = PATH.findall(page.read_text("utf-8"))
    assert len(paths) > 10
    assert [path for path in paths if "NAME" not in path and not (ROOT / path).exists()] == []


def test_the_index_names_every_page() -> None:
    linked = {target for target, _ in LINK.findall((ROOT / "docs/README.md").read_text("utf-8"))}
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= linked


def test_the_picture_has_the_rows_of_packages() -> None:
    """Each row in a line of its own, in the order of the arrows."""
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    lines = re.split(r"^## ", text, flags=re.MULTILINE)[0].splitlines()
    there = [{room for room in row if (ROOT / "copgen" / room).is_dir()} for row in ROOMS]
    first = [next(k for k, line in enumerate(lines) if row <= set(re.findall(r"\w+", line))) for row in there]
    assert first == sorted(first)


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    cited = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert [copgen.__version__] == cited == [project["version"]]


def test_what_the_project_needs_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=]", one)[0].lower().replace("_", "-") for one in wanted}
    lock = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    locked = {line.split("==")[0].lower().replace("_", "-") for line in lock}
    assert names <= locked
