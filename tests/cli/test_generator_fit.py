"""`copgen generator fit`: from the recipe to a weights file that the other commands take."""

from __future__ import annotations

from pathlib import Path

import pytest

import copgen.stages.generator.fit
from tests.cli.command import copgen as run

SMALL = """
[\"generator fit\".flow]
blocks = [0]
linear_blocks = 1
linear_width = 8
"""


def test_fits_and_its_weights_are_a_generator(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The judge of the samples takes longer than all the rest, and has tests of its own.
    monkeypatch.setattr(copgen.stages.generator.fit, "assess_digits", lambda G: {"confident_share": 0.5})
    Path("small.toml").write_text(SMALL)
    words = ("generator", "fit", "digits", "--config", "small.toml", "--steps", 96, "--batch", 48)
    outcome, again = run(*words, "--json"), run(*words)
    assert outcome.code == 0, outcome.err
    assert outcome.err.startswith("96 samples = 2 updates of 48, into runs/generator-digits.")
    weights = outcome.document["weights"]
    assert outcome.err.splitlines()[-1] == f"Next: copgen navigate --generator digits --weights {weights}"
    assert "already finished" in again.err
    assert "bits/dim" in again.out
    inspected = run("generator", "inspect", "digits", "--weights", weights)
    assert inspected.code == 0
    assert "bits/dim" in inspected.out
