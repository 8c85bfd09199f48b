"""What every method keeps: the same run on one and several processes, exact resuming, exact cached gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from copgen.distributed.launch import launch
from copgen.distributed.ranks import Ranks
from copgen.methods.method import Method, pass_views
from tests.methods import small
from tests.methods.small import NAMES, K, batch, state, tiny, train


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of two ranks."""
    folder = tmp_path_factory.mktemp("methods")
    assert launch(small.__name__, [str(folder)], 2) == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_follow_one_for_twenty_updates(name: str, two: list[dict[str, Any]]) -> None:
    expected = train(name, Ranks())
    assert bool(expected["losses"].std() > 1e-4)
    for rank in two:
        torch.testing.assert_close(rank[name]["losses"], expected["losses"], rtol=0, atol=1e-6)
        for tensor, value in expected["state"].items():
            torch.testing.assert_close(rank[name]["state"][tensor], value, rtol=1e-6, atol=1e-6, msg=tensor)


@pytest.mark.parametrize("name", NAMES)
def test_what_all_ranks_hold_is_bitwise_equal(name: str, two: list[dict[str, Any]]) -> None:
    first, second = (rank[name]["state"] for rank in two)
    assert [tensor for tensor in first if not torch.equal(first[tensor], second[tensor])] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_method_goes_on_bitwise_from_its_parts(name: str) -> None:
    """Without momentum in the optimizer; the run's own tests resume that, too."""
    method = tiny(name)
    steps(method, range(3))
    saved = {part: module.state_dict() for part, module in method.parts.items()}
    saved = {part: {key: value.clone() for key, value in tree.items()} for part, tree in saved.items()}
    steps(method, range(3, 6))
    resumed = tiny(name)
    for part, module in resumed.parts.items():
        module.load_state_dict(saved[part])
    steps(resumed, range(3, 6))
    expected, found = state(method), state(resumed)
    assert found.keys() == expected.keys()
    assert [tensor for tensor in found if not torch.equal(found[tensor], expected[tensor])] == []


def steps(method: Method, updates: range) -> None:
    optimizer = torch.optim.SGD(method.f.parameters(), lr=0.1)
    for update in updates:
        seen, labels = batch(update)
        optimizer.zero_grad()
        torch.autograd.backward(method(*seen, labels=labels)["loss"])
        optimizer.step()
        method.after_step(update)


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_cached_gradients_are_exact(name: str, views: int) -> None:
    """The loss on detached outputs, then f by chunks; in evaluation mode, as a chunk has its own batch statistics."""
    method = tiny(name, views=views)
    method.f.eval()
    seen, labels = batch(0, views)

    def gradients() -> list[Tensor]:
        found = [parameter.grad.clone() for parameter in method.f.parameters() if parameter.grad is not None]
        method.f.zero_grad()
        return found

    loss = method(*seen, labels=labels)["loss"]
    torch.autograd.backward(loss)
    expected = gradients()

    passed = seen[: method.trained_views]
    with torch.no_grad():
        outputs = pass_views(method.f, passed, together=method.together)
    leaves = tuple({key: value.detach().requires_grad_() for key, value in output.items()} for output in outputs)
    cached = method.loss(leaves, method.frozen(seen), labels)["loss"]
    torch.autograd.backward(cached)
    for rows in (slice(0, 3), slice(3, K)):
        fresh = pass_views(method.f, [v[rows] for v in passed], together=method.together)
        both = [(output[key], leaf[key].grad) for output, leaf in zip(fresh, leaves, strict=True) for key in output]
        used = [(output, slope[rows]) for output, slope in both if slope is not None]
        torch.autograd.backward([output for output, _ in used], [slope for _, slope in used])
    torch.testing.assert_close(cached, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_holds_everything(name: str) -> None:
    method = tiny(name)
    held = {id(tensor) for part in method.parts.values() for tensor in (*part.parameters(), *part.buffers())}
    assert held == {id(tensor) for tensor in (*method.parameters(), *method.buffers())}
    trained = {id(parameter) for parameter in method.parameters() if parameter.requires_grad}
    assert trained == {id(parameter) for parameter in method.f.parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_outputs_give_a_loss_in_float32(name: str) -> None:
    method = tiny(name).float()
    seen, labels = batch(0)
    seen = tuple(v.float() for v in seen)
    outputs = pass_views(method.f, seen[: method.trained_views], together=method.together)
    halves = tuple({key: value.bfloat16() for key, value in output.items()} for output in outputs)
    loss = method.loss(halves, method.frozen(seen), labels)["loss"]
    assert loss.dtype == torch.float32
    expected = method.loss(outputs, method.frozen(seen), labels)["loss"]
    torch.testing.assert_close(loss, expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "byol"])
def test_embeddings_that_say_nothing_are_at_chance(name: str) -> None:
    method = tiny(name)
    rows = torch.ones(K, 6, dtype=torch.float64)
    outputs = tuple({"projection": rows, "prediction": rows} for _ in range(2))
    if name in ("nnclr", "negft", "negft-inbatch"):
        method.temperature = 1e6  # type: ignore[assignment]  # the queue's rows, and mixed rows, are not alike
    loss = float(method.loss(outputs[: method.trained_views], outputs, torch.arange(K))["loss"])
    near = 0.1 if name == "negft-inbatch" else 1e-4  # of which a few rows are mixed with their own sample
    assert loss == pytest.approx(method.chance(K)["chance"], rel=near)


@pytest.mark.parametrize("name", ["simclr", "byol", "nnclr"])
def test_several_positives_are_the_mean_over_pairs_of_views(name: str) -> None:
    method = tiny(name)
    method.f.eval()
    seen, _ = batch(0, views=3)
    pairs = [method(seen[i], seen[j])["loss"] for i, j in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(method(*seen)["loss"], torch.stack(pairs).mean())
