"""The benchmark of sampling runs from end to end, and refuses to compare runs that wrote other images."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import sampling as benchmark
from benchmarks import sampling_parts, sampling_speed, sampling_writer, timing
from copgen import pairs
from copgen.stages.sample.stage import sample


def test_a_toy_run_reports_speed_and_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_writer, "_in_two_processes", lambda made: 1.0)
    monkeypatch.setattr(sampling_writer, "POOL", 40)
    report = tmp_path / "report.md"
    benchmark.main(["--toy", "--parts", "bigbigan", "digits", "writer", "disk", "--out", str(report)])
    text = report.read_text()
    assert "A toy run" in text
    for name in ("bigbigan", "digits"):
        assert f"## {name}" in text
    assert text.count("| authors | ") == text.count("| copgen | ") == 2
    assert "| webp, 20, 5 | writer, 1 thread, 1 core |" in text
    assert "| memory beside the model, GiB | at most 1.5 | not measured |" in text
    for how in ("bf16", "bf16, compiled"):
        assert f"| GPU, {how}: minutes for 1.3M pairs | aim 10, H200 | not measured |" in text
    worst = next(line for line in text.splitlines() if line.startswith("| estimate of the disk"))
    assert float(worst.split("|")[3]) < 10


def test_runs_with_other_images_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = sampling_parts.settings_of("digits", tmp_path, narrow=1, n=4, batch=4)
    other = settings.model_copy(update={"seed": 1})
    monkeypatch.setattr("copgen.stages.sample.stage.sample", lambda settings, **more: sample(other, **more))
    with pytest.raises(RuntimeError, match=r"pair 0: the anchors are [0-9]+ grey levels apart"):
        sampling_speed.against_the_authors(settings, batch=4, rounds=1)


def test_a_run_is_compared_with_the_bare_generator(tmp_path: Path) -> None:
    settings = sampling_parts.settings_of("bigbigan", tmp_path, narrow=24, n=5, batch=2, precision="bfloat16")
    found = sampling_parts.against_the_bare_forward(settings, tmp_path / "pairs")
    assert min(found["sample"], found["bare"]) > 0
    assert pairs.verify(tmp_path / "pairs", "full") == []


def test_memory_of_a_run_is_measured() -> None:
    assert 0 <= sampling_parts.memory_beside("pixels", 50) < 2**30


@pytest.mark.soak
def test_memory_does_not_grow_with_the_number_of_pairs() -> None:
    peaks = [timing.in_child(sampling_parts.memory_beside, "pixels", count) for count in (1000, 10000)]
    few, many = (peak or 0 for peak in peaks)
    assert 0 < many < few + 200 * 2**20
