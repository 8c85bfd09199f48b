"""The stage pretrain: it learns, visits every pair once an epoch, and goes on bit by bit after an interruption."""

from __future__ import annotations

import math
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from copgen import encoders, pairs, views
from copgen.datasets import digits
from copgen.objectives import info_nce
from copgen.pairs.pixels import from_uint8
from copgen.runtime.errors import DataError, Diverged, EnvironmentFault, ExitCode, Stopped, UsageError
from copgen.runtime.events import Events
from copgen.runtime.files import read_json
from copgen.runtime.seeds import seeded
from copgen.runtime.settings import build
from copgen.stages import pretrain as stage
from copgen.stages.pretrain import (
    PairsSource,
    PretrainSettings,
    VisitOrder,
    count_updates,
    estimate,
    open_source,
    pretrain,
    set_learning_rate,
)
from copgen.stages.sample import SampleSettings, sample
from tests.stages.small import At, Recorder, Stage, assert_same_run, files, interrupted, killed, metrics, newest, send

K, PAIRS = 16, 80  # five updates an epoch
ARTEFACT = "encoder.safetensors"
KINDS: dict[str, dict[str, object]] = {
    "sgd": {"updates": 8, "lr": 0.1},
    "adam": {"updates": 8, "optimizer": "adam", "lr": 1e-3},
    "partial batches": {"updates": 8, "batch": 24},
    "real": {"updates": 6, "pairs": None, "dataset": "digits", "batch": 8},
}


@pytest.fixture(scope="module")
def folder(flow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pairs folder of two shards; nobody writes into it."""
    out = tmp_path_factory.mktemp("sample") / "pairs"
    fields = {"generator": "digits", "weights": flow, "n": PAIRS, "transform": "gaussian", "std": 0.1}
    sample(SampleSettings.model_validate({**fields, "batch": 40, "pairs_per_shard": 50, "device": "cpu"}), out=out)
    return out


def pretrain_settings(folder: Path, **changes: object) -> PretrainSettings:
    fields = {
        "pairs": folder,
        "updates": 8,
        "batch": K,
        "temperature": 0.5,
        "views": "mnist",
        "encoder": "digits",
        "projector": (16, 8),
        "checkpoint_every": 3,
        "device": "cpu",
    }
    return PretrainSettings.model_validate({**fields, **changes})


def as_stage(settings: PretrainSettings) -> Stage:
    def run(out: Path, events: Events) -> dict[str, Any]:
        return pretrain(settings, out=out, events=events)

    return run


@pytest.fixture(scope="module")
def straight(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of an uninterrupted run of each kind; nobody writes into it."""
    runs: dict[str, Path] = {}

    def run(kind: str) -> Path:
        if kind not in runs:
            runs[kind] = tmp_path_factory.mktemp("pretrain") / "run"
            pretrain(pretrain_settings(folder, **KINDS[kind]), out=runs[kind])
        return runs[kind]

    return run


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [(1,), (3,), (2, 5)])
def test_a_run_that_a_signal_interrupts_ends_as_a_straight_one(
    folder: Path, tmp_path: Path, straight: Callable[[str], Path], kind: str, at: tuple[int, ...]
) -> None:
    settings = pretrain_settings(folder, **KINDS[kind])
    summary = interrupted(as_stage(settings), tmp_path / "run", [settings.batch * update for update in at])
    assert_same_run(tmp_path / "run", straight(kind), ARTEFACT)
    assert summary == read_json(straight(kind) / "summary.json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [2, 5])
def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(
    folder: Path, tmp_path: Path, straight: Callable[[str], Path], kind: str, at: int
) -> None:
    settings = pretrain_settings(folder, **KINDS[kind])
    killed(as_stage(settings), tmp_path / "run", settings.batch * at)
    assert_same_run(tmp_path / "run", straight(kind), ARTEFACT)


def test_a_run_that_is_killed_before_its_artefact_is_written_ends_the_same(
    folder: Path, tmp_path: Path, straight: Callable[[str], Path]
) -> None:
    shutil.copytree(straight("sgd"), tmp_path / "run")
    for name in (ARTEFACT, "summary.json"):
        (tmp_path / "run" / name).unlink()
    pretrain(pretrain_settings(folder, **KINDS["sgd"]), out=tmp_path / "run")
    assert_same_run(tmp_path / "run", straight("sgd"), ARTEFACT)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_first_update_descends_the_symmetric_loss(folder: Path, tmp_path: Path, optimizer: str) -> None:
    settings = pretrain_settings(folder, updates=2, optimizer=optimizer, lr=0.01, weight_decay=0.1)
    with pytest.raises(Stopped):
        pretrain(settings, out=tmp_path, events=At(K, lambda: send(signal.SIGTERM)))
    after = newest(tmp_path)

    with seeded(0, "pretrain/f"):
        backbone = encoders.build("digits", 1)
        f = torch.nn.Sequential(backbone, encoders.Projector(backbone.feature_dim, 16, 8)).train()
    f = f.to(memory_format=torch.channels_last)  # the same kernels, so that no ReLU falls on the other side
    rows = range(K)
    x, x_pos = open_source(settings).batch(VisitOrder(PAIRS, 0)[rows], rows)
    v = views.augment(x, views.policy("mnist"), seed=0, rows=rows, stream="views/anchor")
    v_pos = views.augment(x_pos, views.policy("mnist"), seed=0, rows=rows, stream="views/positive")
    h, h_pos = f(torch.cat((v, v_pos))).chunk(2)
    loss = info_nce(h, h_pos, temperature=0.5, anchors="both")
    names, parameters = zip(*f.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters)
    for place, (name, parameter, gradient) in enumerate(zip(names, parameters, gradients, strict=True)):
        state = after["optimizer"]["state"][place]
        slope = state["momentum_buffer"] if optimizer == "sgd" else 10.0 * state["exp_avg"]
        expected = (gradient + 0.1 * parameter).detach()
        largest = float(expected.abs().max())
        torch.testing.assert_close(slope, expected, rtol=1e-3, atol=1e-4 * largest, check_stride=False)
        step = slope if optimizer == "sgd" else slope / (slope.abs() + 1e-8)
        torch.testing.assert_close(after["encoder"][name], parameter - 0.01 * step, rtol=1e-5, atol=1e-6, msg=name)
    assert metrics(tmp_path)[0]["loss"] == pytest.approx(loss.item(), abs=1e-5)


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.2), ("adam", 3e-3)])
def test_it_learns(folder: Path, tmp_path: Path, optimizer: str, lr: float) -> None:
    settings = pretrain_settings(folder, updates=40, optimizer=optimizer, lr=lr, temperature=0.1)
    summary = pretrain(settings, out=tmp_path)
    losses = [line["loss"] for line in metrics(tmp_path)]
    assert summary["chance"] == pytest.approx(math.log(2 * K - 1), rel=1e-12)
    assert sum(losses[-10:]) / 10 < min(summary["chance"], losses[0]) - 0.4


def test_the_summary_and_the_encoder_say_what_was_done(folder: Path, straight: Callable[[str], Path]) -> None:
    run = straight("adam")
    summary, losses = read_json(run / "summary.json"), [line["loss"] for line in metrics(run)]
    assert summary == {
        "updates": 8,
        "samples": 8 * K,
        "pairs": PAIRS,
        "loss": pytest.approx(sum(losses) / 8),
        "chance": math.log(2 * K - 1),
    }
    f = encoders.load(run)
    assert f.config.model_dump() == {
        "arch": "digits",
        "in_channels": 1,
        "image_size": 8,
        "views": "mnist",
        "stem": None,
    }
    assert f.made_by["settings"] == pretrain_settings(folder, **KINDS["adam"]).tree()
    assert f.made_by["summary"] == summary
    trained = newest(run)["encoder"]
    for name, tensor in f.backbone.state_dict().items():
        assert torch.equal(tensor, trained[f"0.{name}"])


def test_every_update_is_logged(straight: Callable[[str], Path]) -> None:
    lines = metrics(straight("sgd"))
    assert [(line["update"], line["samples"]) for line in lines] == [(u, K * u) for u in range(1, 9)]
    assert all(set(line) == {"update", "samples", "loss", "chance"} for line in lines)


# The order of visits


@pytest.mark.parametrize(("n", "batch"), [(80, 16), (80, 24), (7, 7), (7, 3), (5, 2), (1, 1)])
def test_every_epoch_visits_every_pair_once_in_batches_of_any_size(n: int, batch: int) -> None:
    order = VisitOrder(n, seed=0)
    visits = order[range(4 * n)]
    for epoch in visits.view(4, n):
        assert sorted(epoch.tolist()) == list(range(n))
    stepwise = VisitOrder(n, seed=0)
    starts = range(0, 4 * n, batch)
    parts = [stepwise[range(start, min(start + batch, 4 * n))] for start in starts]
    assert torch.equal(torch.cat(parts), visits)
    backwards = [stepwise[range(start, min(start + batch, 4 * n))] for start in reversed(starts)]
    assert torch.equal(torch.cat(backwards[::-1]), visits)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    epochs = [VisitOrder(50, seed)[range(50 * epoch, 50 * epoch + 50)].tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert list(range(50)) not in epochs


@pytest.mark.parametrize(
    ("changes", "updates"),
    [
        ({"updates": 7, "epochs": 100}, 7),
        ({"updates": None, "epochs": 1}, 5),
        ({"updates": None, "epochs": 2.5}, 12),
        ({"updates": None, "epochs": 1, "batch": 24}, 3),
        ({"updates": None, "epochs": 0.001}, 1),
    ],
)
def test_epochs_are_counted_in_whole_batches(folder: Path, changes: dict[str, Any], updates: int) -> None:
    assert count_updates(pretrain_settings(folder, **changes), PAIRS) == updates


# The sources


def test_pairs_come_as_they_lie_in_the_folder(folder: Path) -> None:
    source = open_source(pretrain_settings(folder))
    indices = torch.tensor([60, 3, 3])
    x, x_pos = source.batch(indices, range(3))
    read = {pair.index: pair for pair in pairs.read(folder)}
    assert (len(source), source.image_shape) == (PAIRS, (1, 8, 8))
    for place, index in enumerate(indices.tolist()):
        assert torch.equal(x[place], from_uint8(read[index].anchor))
        assert torch.equal(x_pos[place], from_uint8(read[index].positive))
    assert not torch.equal(x, x_pos)


def test_real_images_are_their_own_positives_and_only_the_training_split(folder: Path) -> None:
    source = open_source(pretrain_settings(folder, dataset="digits"))
    train = digits.load("train").images
    x, x_pos = source.batch(torch.arange(len(source)), range(len(source)))
    assert torch.equal(x, train)
    assert torch.equal(x_pos, train)


# The learning rate


@pytest.mark.parametrize("final_lr", [0.0, 1e-3, 1.0])
def test_the_learning_rate_falls_along_a_cosine(folder: Path, final_lr: float) -> None:
    settings = pretrain_settings(folder, lr=0.3, final_lr=final_lr)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rates = []
    for update in range(101):
        set_learning_rate(optimizer, settings, update, 100)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[0] == 0.3
    assert rates[50] == pytest.approx(0.3 * (1 + final_lr) / 2)
    assert rates[100] == pytest.approx(0.3 * final_lr, abs=1e-15)
    assert rates == sorted(rates, reverse=True)


# What goes wrong


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_a_loss_that_is_not_finite_ends_the_run_before_anything_is_updated_with_it(
    folder: Path,
    tmp_path: Path,
    straight: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    value: float,
) -> None:
    settings = pretrain_settings(folder, **KINDS[kind])
    with pytest.raises(Stopped):
        pretrain(settings, out=tmp_path, events=At(4 * K, lambda: send(signal.SIGTERM)))
    before = files(tmp_path / "checkpoints")

    def poisoned(h: Tensor, h_pos: Tensor, **settings: Any) -> Tensor:
        return info_nce(h, h_pos, **settings) * value

    with monkeypatch.context() as patch:
        patch.setattr(stage, "info_nce", poisoned)
        with pytest.raises(Diverged, match=r"loss is (nan|inf) at update 5") as caught:
            pretrain(settings, out=tmp_path)
    assert caught.value.code == ExitCode.DIVERGED
    assert files(tmp_path / "checkpoints") == before
    pretrain(settings, out=tmp_path)
    assert_same_run(tmp_path, straight(kind), ARTEFACT)


def cut(folder: Path) -> Path:
    path = folder / "shards" / "shard-000001.tar"
    path.write_bytes(path.read_bytes()[:-512])
    return path


def altered(folder: Path) -> Path:
    path = folder / "shards" / "shard-000001.tar"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def removed(folder: Path) -> Path:
    path = folder / "shards" / "shard-000001.tar"
    path.unlink()
    return path


def unfinished(folder: Path) -> Path:
    (folder / "manifest.json").unlink()
    return folder


def nowhere(folder: Path) -> Path:
    shutil.rmtree(folder)
    return folder


@pytest.mark.parametrize("damage", [cut, altered, removed, unfinished, nowhere])
def test_damaged_pairs_are_refused_by_name_and_nothing_is_written(
    folder: Path, tmp_path: Path, damage: Callable[[Path], Path]
) -> None:
    shutil.copytree(folder, tmp_path / "pairs")
    path = damage(tmp_path / "pairs")
    with pytest.raises(DataError) as caught:
        pretrain(pretrain_settings(tmp_path / "pairs"), out=tmp_path / "run")
    assert caught.value.code == ExitCode.DATA
    assert str(path) in caught.value.what
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch": PAIRS + 1}, "batch of 81 does not fit into 80 pairs"),
        ({"dataset": "digit"}, "no dataset 'digit'. Did you mean 'digits'"),
        ({"pairs": None}, "nothing to learn from"),
        ({"views": "mnis"}, "no view policy 'mnis'"),
        ({"views": "simclr"}, "normalises 3 channels; the images have 1"),
        ({"encoder": "digts"}, "no encoder 'digts'"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    folder: Path,
    tmp_path: Path,
    straight: Callable[[str], Path],
    changes: dict[str, Any],
    says: str,
    overwrite: bool,
) -> None:
    if overwrite:
        shutil.copytree(straight("sgd"), tmp_path / "run")
    before = files(tmp_path)
    with pytest.raises(UsageError, match=says):
        pretrain(pretrain_settings(folder, **changes), out=tmp_path / "run", overwrite=overwrite)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"updates": 0}, "updates = 0"),
        ({"epochs": -1.0}, r"epochs = -1\.0"),
        ({"epochs": math.inf}, "epochs = inf"),
        ({"final_lr": 2.0}, r"final_lr = 2\.0"),
        ({"optimizer": "sdg"}, "optimizer = 'sdg'"),
        ({"projector": (16, 0)}, r"projector\.1 = 0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_their_value(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(PretrainSettings, changes, origin="pretrain")


def test_a_folder_that_holds_something_else_is_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all my work")
    with pytest.raises(EnvironmentFault, match=r"thesis\.tex") as caught:
        pretrain(pretrain_settings(folder), out=tmp_path, overwrite=True)
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert list(files(tmp_path)) == ["thesis.tex"]


def test_a_finished_run_returns_its_summary_and_computes_nothing(
    folder: Path, tmp_path: Path, straight: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(straight("sgd"), tmp_path / "run")
    before = files(tmp_path / "run")
    monkeypatch.setattr(stage, "info_nce", None)
    summary = pretrain(pretrain_settings(folder, **KINDS["sgd"]), out=tmp_path / "run")
    assert summary == read_json(straight("sgd") / "summary.json")
    assert files(tmp_path / "run") == before


def test_changed_settings_are_refused_with_the_difference(
    folder: Path, tmp_path: Path, straight: Callable[[str], Path]
) -> None:
    shutil.copytree(straight("sgd"), tmp_path / "run")
    with pytest.raises(UsageError, match=r"batch: 16 -> 8; temperature: 0\.5 -> 0\.1"):
        pretrain(pretrain_settings(folder, **KINDS["sgd"], batch=8, temperature=0.1), out=tmp_path / "run")


def test_other_pairs_under_the_same_path_are_refused(flow: Path, folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "pairs"
    shutil.copytree(folder, place)
    settings = pretrain_settings(place, updates=2)
    pretrain(settings, out=tmp_path / "run")
    fields = {"generator": "digits", "weights": flow, "n": PAIRS, "transform": "none", "device": "cpu"}
    sample(SampleSettings.model_validate(fields), out=place, overwrite=True)
    with pytest.raises(UsageError, match="sha256 of the pairs"):
        pretrain(settings, out=tmp_path / "run")
    pretrain(settings, out=tmp_path / "run", overwrite=True)
    assert encoders.load(tmp_path / "run").feature_dim == 64


def test_overwrite_starts_anew(folder: Path, tmp_path: Path, straight: Callable[[str], Path]) -> None:
    pretrain(pretrain_settings(folder, seed=4, updates=11), out=tmp_path)
    pretrain(pretrain_settings(folder, **KINDS["sgd"]), out=tmp_path, overwrite=True)
    assert_same_run(tmp_path, straight("sgd"), ARTEFACT)


def test_a_run_that_goes_on_says_where_from(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped) as caught:
        pretrain(pretrain_settings(folder), out=tmp_path, events=At(2 * K, lambda: send(signal.SIGINT)))
    assert caught.value.code == ExitCode.INTERRUPTED
    events = Recorder()
    pretrain(pretrain_settings(folder), out=tmp_path, events=events)
    assert events.tasks == [("pretrain", 8 * K, "samples", 2 * K)]
    assert events.sentences[0] == f"Going on from update 2 of 8 in {tmp_path}."
    assert events.sentences[0] in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("updates", [1, 3, 40])
def test_the_estimate_is_a_rehearsal_that_leaves_nothing_behind(
    folder: Path, tmp_path: Path, temporary: Path, updates: int
) -> None:
    settings = pretrain_settings(folder, updates=updates)
    found = estimate(settings)
    assert list(temporary.iterdir()) == []
    assert all(0 < value < math.inf for value in found.values())
    pretrain(settings, out=tmp_path / "run")
    true = sum(map(len, files(tmp_path / "run").values()))
    assert found["disk_bytes"] == pytest.approx(true, rel=0.1)


def test_of_several_positives_each_visit_sees_one_at_random(flow: Path, tmp_path: Path) -> None:
    fields = {"generator": "digits", "weights": flow, "n": 20, "batch": 20, "transform": "gaussian", "positives": 3}
    sample(SampleSettings.model_validate({**fields, "device": "cpu"}), out=tmp_path / "pairs")
    source = PairsSource(pairs.open_pairs(tmp_path / "pairs"), seed=0)
    indices, seen = torch.arange(20), []
    for epoch in range(12):
        visits = range(20 * epoch, 20 * epoch + 20)
        x, x_pos = source.batch(indices, visits)
        assert torch.equal(x_pos, source.batch(indices, visits)[1])
        each = torch.stack([from_uint8(source.pairs.batch(indices, which=which)[1]) for which in range(3)])
        seen.append((each == x_pos).all(dim=(2, 3, 4)).int().argmax(0))
        assert torch.equal(each[seen[-1], indices], x_pos)
        assert torch.equal(x, from_uint8(source.pairs.batch(indices)[0]))
    counts = torch.stack(seen).flatten().bincount(minlength=3)
    assert counts.tolist() == pytest.approx([80, 80, 80], abs=30)
    assert not torch.equal(seen[0], seen[1])
