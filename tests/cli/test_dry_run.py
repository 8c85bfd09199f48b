"""`sample --dry-run` into a folder that is not empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.pairs import layout
from tests.cli.command import copgen

WORDS: list[Any] = ["sample", "--tz", "none", "--n", 20, "--pairs-per-shard", 4, "--device", "cpu"]


def test_it_counts_finished_pairs_and_refuses_what_the_run_would(here: Path) -> None:
    assert copgen(*WORDS).code == 0
    for number in (0, 1, 2):
        layout.record_path(Path("pairs"), number).unlink()
    outcome = copgen(*WORDS, "--dry-run")
    assert outcome.out.splitlines()[1] == "# 8 of 20 pairs are in pairs already"
    assert copgen(*WORDS, "--dry-run", "--json").document["estimate"]["pairs"] == 12
    assert "already" not in copgen(*WORDS, "--dry-run", "--overwrite").out
    refused = copgen(*WORDS, "--dry-run", "--seed", 5)
    assert (refused.code, refused.out) == (2, "")
    assert "seed is 0, not 5" in refused.err
