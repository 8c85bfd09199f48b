"""Label agreement: shares by hand, the interval against SciPy."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binomtest  # type: ignore[import-untyped]

from copgen.evaluation.pairs_health.agreement import agreement, wilson


def test_shares_by_hand() -> None:
    anchors = torch.tensor([0, 0, 0, 1, 1, 3])
    positives = torch.tensor([0, 0, 1, 1, 0, 3])
    found = agreement(anchors, positives, classes=4)
    assert found.share == pytest.approx(4 / 6)
    assert found.per_class == pytest.approx((2 / 3, 1 / 2, None, 1.0))
    assert found.anchors == (3, 2, 0, 1)
    assert found.null == pytest.approx(4 / 5)  # anchors 1 to 5 with positives 0 to 4: 0 0, 0 0, 1 1, 1 1, 3 0
    assert 2 < found.effective_classes < 3


def test_chance_for_labels_that_have_nothing_to_do_with_each_other() -> None:
    draw = torch.Generator().manual_seed(0)
    anchors, positives = torch.randint(0, 5, (2, 20_000), generator=draw)
    found = agreement(anchors, positives, classes=5)
    assert found.share == pytest.approx(0.2, abs=0.01)
    assert found.null == pytest.approx(0.2, abs=0.01)
    assert found.effective_classes == pytest.approx(5, abs=0.01)
    assert agreement(anchors, anchors, classes=5).share == 1.0


def test_a_single_pair_has_no_null_level() -> None:
    found = agreement(torch.tensor([2]), torch.tensor([2]), classes=3)
    assert (found.share, found.null, found.effective_classes) == (1.0, None, 1.0)


@pytest.mark.parametrize(("kept", "count"), [(0, 10), (3, 10), (10, 10), (1600, 2000)])
def test_the_interval_is_wilson_s(kept: int, count: int) -> None:
    wanted = binomtest(kept, count).proportion_ci(method="wilson")
    assert 2 * wilson(kept, count) == pytest.approx(wanted.high - wanted.low, abs=1e-9)
