"""`copgen data`: the list, and what inspect says of good and damaged data; docs/data.md is followed to the letter."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.command import copgen
from tests.data import made
from tests.pairs import folders

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def no_data_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COPGEN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_list_says_what_is_there(here: Path) -> None:
    made.mnist(here / "mnist")
    found = copgen("data", "list", "--data-root", here, "--json").document
    by_name = {one["name"]: one for one in found["datasets"]}
    assert set(by_name) == {"digits", "mnist", "cifar10", "imagenet", "imagenet100"}
    assert found["data_root"] == str(here)
    assert by_name["mnist"]["folder"] == str(here / "mnist")
    assert by_name["cifar10"]["folder"] is None
    assert by_name["digits"]["embedded"]
    told = copgen("data", "list").out
    assert "image-net.org" in told
    assert str(here / "cache" / "copgen" / "data") in told


def test_counts_sizes_and_classes(here: Path) -> None:
    for k, side in enumerate((8, 9, 12, 20)):
        made.files(here / "photos", {f"cat/{k}.png": made.image(k, side=side)})
    made.files(here / "photos", {"dog/1.png": made.image(9, side=10)})
    for quick in ([], ["--quick"]):
        outcome = copgen("data", "inspect", "photos/", "--json", *quick)
        assert outcome.code == 0
        found = outcome.document
        assert (found["channels"], found["classes"], found["unreadable"]) == (3, 2, [])
        assert found["splits"] == {
            "train": {
                "images": 5,
                "height": {"min": 8, "median": 10, "max": 20},
                "width": {"min": 8, "median": 10, "max": 20},
                "classes": {"cat": 4, "dog": 1},
            },
            "validation": {"images": 0, "height": None, "width": None, "classes": {"cat": 0, "dog": 0}},
        }
    told = copgen("data", "inspect", "photos/")
    assert "8 x 8 to 20 x 20, median 10 x 10; 2 classes of 1 to 4" in told.out
    assert "copgen pretrain --dataset photos/" in told.err


def test_unreadable_images_are_listed_and_exit_3(here: Path) -> None:
    folder = made.class_folders(here / "photos", count=30)
    names = [f"cat/{k:02d}.png" for k in range(25)]
    for name in names:
        (folder / name).write_bytes((folder / name).read_bytes()[:-30])
    document = copgen("data", "inspect", folder, "--json")
    assert document.code == 3
    assert [one["image"] for one in document.document["unreadable"]] == [
        *(str(folder / name) for k, name in enumerate(names) if k % 10 != 4),
        *(str(folder / name) for k, name in enumerate(names) if k % 10 == 4),
    ]
    told = copgen("data", "inspect", folder)
    assert told.code == 3
    assert "cat/00.png" in told.out
    assert "5 more" in told.out
    assert f"--dataset {folder} --skip-bad 25" in told.err
    assert copgen("data", "inspect", folder, "--quick").code == 0  # their headers are whole


def test_shards_and_mnist(here: Path) -> None:
    made.tar(here / "shards" / "x.tar", {"1.png": made.image(1), "1.cls": b"3", "2.png": b"broken", "2.cls": b"0"})
    outcome = copgen("data", "inspect", "shards", "--json")
    assert outcome.code == 3
    (bad,) = outcome.document["unreadable"]
    assert bad["image"] == "shards/x.tar: 2.png"
    made.mnist(here / "data" / "mnist")
    found = copgen("data", "inspect", "mnist", "--data-root", "data", "--json").document
    assert {split: one["images"] for split, one in found["splits"].items()} == {
        "train": 40,
        "validation": 0,
        "test": 10,
    }
    assert found["folder"] == "data/mnist"


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("mnits", 2, "Did you mean 'mnist'?"),
        ("pairs", 2, "copgen show"),
        ("empty", 3, "no images"),
        ("./absent", 3, "absent"),
        ("imagenet", 3, "image-net.org"),
    ],
)
def test_what_cannot_be_inspected(here: Path, name: str, code: int, says: str) -> None:
    folders.write(here / "pairs", folders.plan())
    (here / "empty").mkdir()
    outcome = copgen("data", "inspect", name)
    assert outcome.code == code
    assert says in outcome.err


def test_offline_is_exit_4_with_address_and_place(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    outcome = copgen("data", "inspect", "mnist", "--data-root", "data")
    assert outcome.code == 4
    assert "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz" in outcome.err
    assert "data/mnist" in outcome.err


def test_the_commands_of_the_page_run(here: Path) -> None:
    made.class_folders(here / "photos", count=20)
    made.mnist(here / "datasets" / "mnist")
    commands = re.findall(r"^    copgen (.*)$", PAGE, re.MULTILINE)
    assert len(commands) >= 7
    for command in commands:
        outcome = copgen(*shlex.split(command, comments=True))
        assert outcome.code == 0, outcome.err


def test_the_python_of_the_page_runs() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(program, {})
