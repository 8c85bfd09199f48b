"""The dry run says when PNG encoders limit a run, and how much faster the lossy formats are."""

from __future__ import annotations

import re

import pytest

from copgen import pairs
from copgen.stages.sample import encoder_rate
from copgen.stages.sample.encoder_rate import advice
from copgen.stages.sample.rehearsal import Rehearsal
from tests.pairs import folders


def rehearsed(making_s: float, encoding_s: float) -> Rehearsal:
    plan = folders.plan(pairs=4, pairs_per_shard=4)
    return Rehearsal([pairs.encode_pair(plan, pair) for pair in folders.shard_pairs(plan, 0)], making_s, encoding_s, 0)


@pytest.mark.parametrize(
    ("making_s", "threads", "workers", "limited"),
    [(0.001, 4, 1, True), (0.001, 16, 1, False), (0.001, 16, 2, True), (0.02, 0, 1, False), (0.001, 0, 2, True)],
)
def test_it_is_said_if_and_only_if_encoders_are_slower_than_generators(
    monkeypatch: pytest.MonkeyPatch, making_s: float, threads: int, workers: int, limited: bool
) -> None:
    seconds = {"png": 0.008, "jpg": 0.001, "webp": 0.009}
    monkeypatch.setattr(encoder_rate, "_seconds", lambda plan, pairs, format: seconds[format])
    said = advice(folders.plan(), rehearsed(making_s, 0.01), threads=threads, workers=workers)
    assert (said is not None) == limited
    if said:
        at_once = threads or workers
        assert f"{at_once * 100:,} pairs/s with {at_once}" in said
        assert f"{round(at_once / 0.003):,} with --image-format jpg" in said
        assert "webp" not in said  # it is slower still


def test_lossy_formats_have_no_advice() -> None:
    plan = folders.plan(image_format="jpg", quality=90)
    assert advice(plan, rehearsed(0.001, 1.0), threads=1, workers=1) is None


def test_the_rates_are_measured() -> None:
    said = advice(folders.plan(), rehearsed(1e-6, 0.1), threads=1, workers=1)
    assert said is not None
    assert re.search(r"10 pairs/s with 1 .* makes 1,000,000", said)
