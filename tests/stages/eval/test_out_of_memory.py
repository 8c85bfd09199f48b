"""Out of memory in any evaluation: exit code 4, and the settings that this evaluation has."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from copgen.runtime.errors import EnvironmentFault, ExitCode
from copgen.runtime.settings import Settings
from copgen.stages import eval as stages
from copgen.stages.eval import out_of_memory
from copgen.stages.eval.out_of_memory import memory_errors

FIRST = {  # what a stage calls before anything is written
    "alignment": "open_source",
    "detect": "new_run",
    "few_shot": "opened",
    "finetune": "opened",
    "generator": "open_spaces",
    "knn": "opened",
    "linear": "opened",
    "pairs": "PairsSample",
    "transfer": "_open",
}
FLAGS = (Path(__file__).parents[2] / "cli/flags.txt").read_text()
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    MemoryError("Unable to allocate 20.0 GiB for an array"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"),
]


def settings_of(kind: str) -> Settings:
    name = "".join(word.title() for word in kind.split("_"))
    found: Settings = getattr(stages, f"Eval{name}Settings")(
        device="cpu", **({"generator": "digits"} if kind == "generator" else {})
    )
    return found


@pytest.mark.parametrize("error", ERRORS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("kind", FIRST)
def test_every_evaluation_says_what_needs_less(kind: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any, **how: Any) -> None:
        raise error

    monkeypatch.setattr(import_module(f"copgen.stages.eval.{kind}"), FIRST[kind], fails)
    with pytest.raises(EnvironmentFault, match="cpu is out of memory") as caught:
        getattr(stages, f"eval_{kind}")(settings_of(kind))
    assert caught.value.code == ExitCode.ENVIRONMENT
    assert "more memory" in caught.value.fix
    assert "--device" not in caught.value.fix
    own = FLAGS.split(f"copgen eval {kind.replace('_', '-')}\n")[1].split("\ncopgen ")[0]
    for flag in ("--batch", "--train-batch", "--max-side"):
        assert (flag in caught.value.fix) == (f"{flag} " in own)


def test_a_batch_without_a_flag_is_lowered_in_a_settings_file() -> None:
    assert "batch in a --config file (256)" in out_of_memory.fault(settings_of("knn")).fix


def test_a_gpu_can_be_left_for_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out_of_memory, "resolve_device", torch.device)
    asked = settings_of("linear").model_copy(update={"device": "cuda:1"})
    error = out_of_memory.fault(asked)
    assert "cuda:1" in error.what
    assert "--device cpu" in error.fix


def test_other_errors_stay_what_they_are() -> None:
    @memory_errors
    def stage(settings: Settings) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        stage(settings_of("knn"))
