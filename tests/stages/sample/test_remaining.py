"""What `copgen sample --dry-run` finds in a folder that holds pairs already: what is left, or why it cannot go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from copgen.pairs import layout
from copgen.pairs.store import LocalStore
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.sample.settings import SampleSettings
from copgen.stages.sample.stage import estimate, sample

SETTINGS = SampleSettings(generator="digits", transform="none", n=20, batch=7, pairs_per_shard=4, device="cpu")


def without(store: LocalStore, numbers: list[int]) -> None:
    for number in numbers:
        store.remove(layout.record_name(number))


def test_what_is_left_is_estimated(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    fresh, whole = estimate(SETTINGS), estimate(SETTINGS, store=store)
    assert (fresh.pairs, whole.pairs) == (20, 20)
    sample(SETTINGS, out=tmp_path)
    finished = estimate(SETTINGS, store=store)
    assert (finished.pairs, finished.seconds, finished.disk_bytes) == (0, 0, 0)
    without(store, [1, 4])
    part = estimate(SETTINGS, store=store)
    assert part.pairs == 8
    assert part.disk_bytes == pytest.approx(0.4 * fresh.disk_bytes, abs=1)
    assert part.seconds > 0
    assert estimate(SETTINGS, store=store, only=[3]).pairs == 4


def test_a_folder_with_another_plan_is_refused_as_the_run_would(tmp_path: Path) -> None:
    sample(SETTINGS, out=tmp_path)
    other = SETTINGS.model_copy(update={"seed": 3, "threads": 2})
    said = []
    for call in (lambda: estimate(other, store=LocalStore(tmp_path)), lambda: sample(other, out=tmp_path)):
        with pytest.raises(UsageError, match=r"another plan: seed is 0, not 3; threads is 1, not 2\.") as caught:
            call()
        said.append(str(caught.value))
    assert said[0] == said[1]
    with pytest.raises(UsageError, match="There is no shard 9"):
        estimate(SETTINGS, store=LocalStore(tmp_path), only=[9])
    with pytest.raises(DataError, match=r"plan\.json is missing"):
        estimate(SETTINGS, store=LocalStore(tmp_path / "none"), only=[0])
