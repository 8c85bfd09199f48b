"""How conditions are drawn: a function of (seed, index), uniform or balanced, over all rows or over some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from copgen import generators
from copgen.generators.conditions import Conditions, deal_rows
from copgen.runtime import philox
from copgen.runtime.errors import UsageError
from tests.generators import narrow

CPU = torch.device("cpu")
RULES = {
    "uniform": Conditions(),
    "balanced": Conditions(rule="balanced"),
    "uniform of some": Conditions(only=(3, 1, 8)),
    "balanced of some": Conditions(rule="balanced", only=(3, 1, 8)),
}


@pytest.mark.parametrize("name", RULES)
def test_a_row_does_not_depend_on_the_batch(name: str) -> None:
    whole = RULES[name].draw(range(100), 10, seed=4, device=CPU)
    assert torch.equal(RULES[name].draw([90, 5, 41], 10, seed=4, device=CPU), whole[[90, 5, 41]])
    assert torch.equal(RULES[name].draw(range(37, 60), 10, seed=4, device=CPU), whole[37:60])
    assert not torch.equal(RULES[name].draw(range(100), 10, seed=5, device=CPU), whole)
    assert set(whole.tolist()) == (set(range(10)) if "some" not in name else {1, 3, 8})


def test_balanced_holds_each_row_equally_often() -> None:
    """1,300 anchors of each of 1,000 classes, in small."""
    drawn = Conditions(rule="balanced").draw(range(13 * 100), 100, seed=0, device=CPU)
    assert drawn.bincount().tolist() == [13] * 100
    first, second = drawn[:100], drawn[100:200]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(100))
    assert not torch.equal(first, second)
    assert Conditions(rule="balanced", only=(7, 2)).draw(range(10), 100, seed=0, device=CPU).bincount()[
        [2, 7]
    ].tolist() == [5, 5]


@pytest.mark.parametrize("count", [1, 2, 7, 300])
@pytest.mark.parametrize(
    "indices",
    [range(0), range(100), range(37, 1000, 3), [90, 5, 41, 5, 2**40 + 3, 6, 90], [*range(50, 0, -1)]],
    ids=["none", "first", "every third", "any, twice and far", "backwards"],
)
def test_the_rows_are_those_of_each_round_s_permutation(indices: range | list[int], count: int) -> None:
    order = {k // count: philox.permutation(4, count, stream=f"conditions/{k // count}").tolist() for k in indices}
    assert deal_rows(indices, count, seed=4, device=CPU).tolist() == [order[k // count][k % count] for k in indices]


class Created(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the elements of the tensors that operators create; those that write in place create none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and not func._schema.is_mutable:
            self.elements += result.numel()
        return result


def test_dealing_does_not_pass_over_all_indices_in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.3 million pairs of 10 classes are 130,000 rounds, in small."""
    N, count = 2000, 2
    monkeypatch.setattr(philox, "permutation", lambda *_, **__: torch.arange(count))
    with Created() as created:
        deal_rows(range(N), count, seed=0, device=CPU)
    assert created.elements < 20 * N  # a mask for each round is 1,000 N


def test_uniform_draws_each_row_alone() -> None:
    counts = Conditions().draw(range(20_000), 10, seed=0, device=CPU).bincount().double()
    assert counts.tolist() == pytest.approx([2000] * 10, abs=5 * 2000**0.5)
    assert len(set(counts.tolist())) > 1


@pytest.mark.parametrize("name", ["biggan-deep-128", "icgan-128"])
def test_a_generator_draws_as_it_was_loaded_to(name: str, tmp_path: Path) -> None:
    weights = narrow.published(name, tmp_path)
    rule = Conditions(rule="balanced", only=(5, 2))
    G = generators.load(name, weights=weights, conditions=rule)
    drawn = G.sample_condition(range(8), 0)
    assert drawn is not None
    assert sorted(drawn.tolist()) == [2, 2, 2, 2, 5, 5, 5, 5]
    assert G.settings["conditions"] == "balanced"
    assert G.settings["condition_list"] == "5 2"
    plain = generators.load(name, weights=weights)
    assert "conditions" not in plain.settings
    with pytest.raises(UsageError, match=rf"(class|instance) 99 .*'{name}'.* 0 to"):
        generators.load(name, weights=weights, conditions=Conditions(only=(1, 99)))
    with pytest.raises(UsageError, match="2 twice"):
        generators.load(name, weights=weights, conditions=Conditions(only=(2, 2)))


@pytest.mark.parametrize("rule", [Conditions(rule="balanced"), Conditions(only=(1,))])
def test_an_unconditional_generator_has_none_to_choose(rule: Any) -> None:
    with pytest.raises(UsageError, match=r"'digits'.*--conditions"):
        generators.load("digits", conditions=rule)
    assert generators.load("digits", conditions=Conditions()).conditions == 0
