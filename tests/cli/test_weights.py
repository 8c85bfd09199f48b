"""The commands that bring in weights and navigators: their answers, their stories, and how they fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from copgen.generators import registry
from tests.cli.command import copgen
from tests.stages.published import write_bigbigan
from tests.storage.foreign.files import authors_navigator, pickled_to
from tests.storage.foreign.test_attacks import Reduced
from tests.storage.servers import Manners, serving


@pytest.fixture(autouse=True)
def published(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small BigBiGAN and a navigator for it, as the authors saved them; an empty weights directory."""
    monkeypatch.setenv("COPGEN_WEIGHTS", "weights")
    write_bigbigan(Path("BigBiGAN_x1.pth"))
    authors_navigator(Path("w_COPGen_pretained.pth"))


def test_from_the_authors_files_to_pairs() -> None:
    """Each command prints the next one."""
    imported = copgen("generator", "import", "bigbigan", "BigBiGAN_x1.pth")
    assert imported.code == 0, imported.err
    assert "BigBiGAN_x1.pth, sha256 " in imported.out
    assert imported.err == "Next: copgen generator inspect bigbigan --out samples.png\n"
    navigator = copgen("navigator", "import", "w_COPGen_pretained.pth")
    assert navigator.code == 0, navigator.err
    assert navigator.out.splitlines()[2].split() == ["generator", "bigbigan"]
    assert all(name in navigator.err for name in ("w_COPGen_pretained.pth", "'bigbigan'"))
    assert navigator.err.splitlines()[-1] == "Next: copgen navigator inspect runs/imported-navigator"
    inspected = copgen("navigator", "inspect", "runs/imported-navigator", "--draws", "1k")
    assert inspected.code == 0, inspected.err
    assert "% constant" in inspected.out
    assert inspected.err == "Next: copgen sample --navigator runs/imported-navigator\n"
    sampled = copgen("sample", "--navigator", "runs/imported-navigator", "--n", 2, "--batch", 2, "--json")
    assert sampled.code == 0, sampled.err
    assert sampled.document["pairs"] == 2
    assert "2 pairs of bigbigan" in sampled.err


def test_answers_are_one_document_each() -> None:
    imported = copgen("generator", "import", "bigbigan", "BigBiGAN_x1.pth", "--json").document
    assert imported["weights"] == "weights/bigbigan.safetensors"
    assert imported["sources"] == {"BigBiGAN_x1.pth": imported["source_sha256"]}
    listed = copgen("generator", "list", "--json").document
    assert listed["weights_directory"] == "weights"
    assert {one["name"]: one["weights"] for one in listed["generators"]}["bigbigan"] == "weights/bigbigan.safetensors"
    assert copgen("navigator", "import", "w_COPGen_pretained.pth", "--json").document["hidden"] == 120
    found = copgen("navigator", "inspect", "runs/imported-navigator", "--json").document
    assert found["draws"] == 20_000
    assert found["constant"] + found["linear"] + found["nonlinear"] == pytest.approx(1.0)


def test_weights_that_are_elsewhere_are_named_in_the_next_command() -> None:
    for words in (("--out", "a b/x.safetensors"), ("--weights-dir", "other")):
        outcome = copgen("generator", "import", "bigbigan", "BigBiGAN_x1.pth", *words)
        assert outcome.code == 0
        path = "'a b/x.safetensors'" if words[0] == "--out" else "other/bigbigan.safetensors"
        assert outcome.err == f"Next: copgen generator inspect bigbigan --weights {path} --out samples.png\n"


def test_quiet_is_the_answer_alone() -> None:
    outcome = copgen("navigator", "import", "w_COPGen_pretained.pth", "--quiet")
    assert (outcome.code, outcome.err) == (0, "")


def test_fetch_tells_its_progress_and_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = registry.entry("bigbigan")
    with serving(Manners({"/BigBiGAN_x1.pth": Path("BigBiGAN_x1.pth").read_bytes()})) as address:
        files = (replace(entry.files[0], urls=(f"{address}/BigBiGAN_x1.pth",)),)
        monkeypatch.setitem(registry.KNOWN, "bigbigan", replace(entry, files=files))
        outcome = copgen("generator", "fetch", "bigbigan")
        again = copgen("generator", "fetch", "bigbigan", "--json")
    assert outcome.code == 0, outcome.err
    assert "weights/bigbigan.safetensors" in outcome.out
    assert f"BigBiGAN_x1.pth from {address}/BigBiGAN_x1.pth" in outcome.err
    assert "fetch 100 %" in outcome.err
    assert (again.code, again.document["already_imported"]) == (0, True)


def test_offline_fetch_ends_with_4_and_the_way_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = registry.entry("bigbigan")
    with serving(Manners({})) as address:
        pass  # nobody answers there any more
    files = (replace(entry.files[0], urls=(f"{address}/BigBiGAN_x1.pth",)),)
    monkeypatch.setitem(registry.KNOWN, "bigbigan", replace(entry, files=files))
    outcome = copgen("generator", "fetch", "bigbigan")
    assert outcome.code == 4
    assert all(part in outcome.err for part in ("BigBiGAN_x1.pth", "'bigbigan'", "Connection refused"))
    assert f"({address}/BigBiGAN_x1.pth)" in outcome.err
    assert "copgen generator import bigbigan BigBiGAN_x1.pth" in outcome.err
    assert not Path("weights/bigbigan.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("generator", "import", "bigigan", "BigBiGAN_x1.pth"), 2, "Did you mean 'bigbigan'?"),
        (("generator", "import", "digits", "BigBiGAN_x1.pth"), 2, "no published weights to import"),
        (("generator", "import", "bigbigan"), 2, "Missing argument 'FILE'"),
        (("generator", "import", "bigbigan", "absent.pth"), 3, "absent.pth is missing"),
        (("generator", "import", "icgan-128", "BigBiGAN_x1.pth"), 3, "BigBiGAN;"),
        (("generator", "import", "bigbigan", "page.pth"), 3, "page.pth is a web page"),
        (("generator", "import", "bigbigan", "cut.pth"), 3, "truncated"),
        (("generator", "import", "bigbigan", "a.pth"), 3, "builtin__.eval to be called"),
        (("generator", "import", "bigbigan", "w_COPGen_pretained.pth"), 3, "COP-Gen navigator;"),
        (("generator", "inspect", "bigbigan"), 4, "no weights of 'bigbigan' in weights"),
        (("navigator", "import", "BigBiGAN_x1.pth"), 3, "BigBiGAN_x1.pth is not a navigator"),
        (("navigator", "import", "a.pth"), 3, "builtin__.eval to be called"),
        (("navigator", "import", "w_COPGen_pretained.pth", "--generator", "bigigan"), 2, "Did you mean 'bigbigan'?"),
        (("navigator", "import", "page.pth"), 3, "page.pth is a web page"),
        (("navigator", "inspect", "runs/none"), 3, "runs/none/navigator.safetensors is missing"),
        (("navigator", "inspect", "runs/none", "--draws", "many"), 2, "'many' is not a count"),
        (("generator", "inspect", "bigbigan", "--weights", "a.pth"), 3, "builtin__.eval to be called"),
        (("navigate", "--generator", "bigbigan", "--weights", "a.pth"), 3, "builtin__.eval to be called"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_told_and_nothing_is_written(
    here: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    Path("page.pth").write_text("<!DOCTYPE html><html>Sign in</html>")
    Path("cut.pth").write_bytes(Path("BigBiGAN_x1.pth").read_bytes()[:-100])
    pickled_to(here, "zip", {"a": Reduced(eval, ("open('owned', 'w').close()",))})
    before = {path.name for path in here.iterdir()}
    outcome = copgen(*words, "--json")
    error = outcome.document["error"]
    assert (outcome.code, error["code"]) == (code, code)
    assert says in f"{error['what']} {error['fix']}"
    assert {path.name for path in here.iterdir()} == before
