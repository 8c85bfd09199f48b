"""The stage `eval linear`: an encoder's file in, results.json out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from copgen import encoders
from copgen.encoders import EncoderConfig
from copgen.runtime.declaration import declaration
from copgen.runtime.errors import DataError, UsageError
from copgen.stages.eval.linear import EvalLinearSettings, eval_linear, results_file
from copgen.storage.files import sha256_of

CONFIG = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained encoder, which is far from useless on these digits."""
    folder = tmp_path_factory.mktemp("pretrain")
    torch.manual_seed(0)
    encoders.save_encoder(folder, encoders.build("digits", 1), CONFIG, {"stage": "a test"})
    return folder


def quick(ckpt: Path, **changes: object) -> EvalLinearSettings:
    fields = {"ckpt": ckpt, "c_grid": (1e-2, 1.0), "labels_per_class": (1, 10), "label_draws": 3, "device": "cpu"}
    return EvalLinearSettings.model_validate({**fields, **changes})


class Recorder:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, title: str, *, total: int, unit: str, done: int = 0) -> None:
        self.lines.append(f"begin {total} {unit}")

    def advance(self, done: int, values: Mapping[str, float]) -> None:
        self.lines.append(f"advance {done} {' '.join(values)}")

    def end(self) -> None:
        self.lines.append("end")

    def say(self, text: str) -> None:
        self.lines.append(f"say {text}")

    def warn(self, text: str) -> None:
        self.lines.append(f"warn {text}")


def test_results_say_what_was_measured_on_what(ckpt: Path) -> None:
    settings = quick(ckpt)
    result = eval_linear(settings)
    file = ckpt / "eval" / "linear" / "results.json"
    assert results_file(settings, "linear") == file
    assert json.loads(file.read_text()) == json.loads(json.dumps(result))
    assert 0.8 < result["top1"] < 1.0
    assert result["top1"] == result["linear"]["top1"]
    assert result["dataset"] == {
        "name": "digits",
        "classes": 10,
        "images": {"train": 1248, "validation": 181, "test": 368},
    }
    assert result["encoder"]["sha256"] == sha256_of(ckpt / "encoder.safetensors")
    assert result["encoder"]["config"] == CONFIG.model_dump()
    assert (result["linear"]["fitted_on"], result["linear"]["tested_on"]) == (1429, 368)
    assert len(result["linear"]["validation_top1"]) == len(result["c_grid"]) == 2
    one, ten = result["few_labels"]["1"], result["few_labels"]["10"]
    assert 0.1 < one["top1_mean"] < ten["top1_mean"] < result["top1"]
    assert (one["fitted_on"], ten["fitted_on"], len(one["draws"])) == (10, 100, 3)
    assert 0.5 < result["nearest_neighbour"]["top1"] < 1.0
    assert result["versions"]["copgen"]
    assert result["top1"] < result["top5"] <= 1.0
    right = {name: row[name] for name, row in result["confusion"].items()}
    assert sum(right.values()) == round(368 * result["top1"])
    assert result["per_class"]["0"] == right["0"] / sum(result["confusion"]["0"].values())


def test_equal_inputs_give_equal_bytes_in_any_batches(ckpt: Path, tmp_path: Path) -> None:
    # One image at a time would take other kernels; whole batches of different length must not matter.
    for name, batch_size in (("a", 256), ("b", 256), ("c", 100)):
        eval_linear(quick(ckpt, batch_size=batch_size), out=tmp_path / name)
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in "abc"]
    assert (tmp_path / "a" / "results.json").read_bytes() == (tmp_path / "b" / "results.json").read_bytes()
    assert results[2]["top1"] == pytest.approx(results[0]["top1"], abs=2 / 368)


def test_listeners_hear_of_every_probe_and_of_fits_that_stopped_early(ckpt: Path, tmp_path: Path) -> None:
    events = Recorder()
    settings = quick(ckpt, out=tmp_path, labels_per_class=(1,), max_iterations=1)
    result = eval_linear(settings, events=events)
    assert events.lines[:-1] == ["begin 3 probes", "advance 1 top1", "advance 2 top1", "advance 3 top1", "end"]
    assert events.lines[-1].startswith("warn ")
    assert "max_iterations = 1;" in events.lines[-1]
    assert result["linear"]["converged"] is False


def test_an_encoders_file_can_be_named_itself(ckpt: Path) -> None:
    assert (
        results_file(EvalLinearSettings(ckpt=ckpt / "encoder.safetensors"), "linear").parent == ckpt / "eval" / "linear"
    )


def test_what_cannot_be_evaluated_is_refused(ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no dataset 'digit'. Did you mean 'digits'"):
        eval_linear(quick(ckpt, dataset="digit"))
    with pytest.raises(DataError, match="is missing"):
        eval_linear(quick(tmp_path))
    coloured = EncoderConfig(arch="digits", in_channels=3, image_size=28, views="none")
    encoders.save_encoder(tmp_path, encoders.build("digits", 3), coloured, {})
    with pytest.raises(UsageError, match="28 pixels with 3 channels; dataset 'digits' has 8 pixels"):
        eval_linear(quick(tmp_path))
    with pytest.raises(UsageError, match=r"resize = 20 .* 28 pixels"):
        eval_linear(quick(tmp_path, convert_channels=True, resize=20))


def test_images_of_another_size_or_colour_are_converted_and_it_is_said(tmp_path: Path) -> None:
    coloured = EncoderConfig(arch="digits", in_channels=3, image_size=12, views="none")
    encoders.save_encoder(tmp_path, encoders.build("digits", 3), coloured, {})
    events = Recorder()
    result = eval_linear(quick(tmp_path, convert_channels=True, labels_per_class=()), events=events)
    assert [line for line in events.lines if line.startswith("say")] == [
        "say The images have 1 channels, and the encoder takes 3: they are converted.",
        "say Images of 8 x 8 pixels are resized to 12 x 12 for the encoder.",
    ]
    assert result["images"] == {"size": 12, "resize": None, "channels": 3}
    assert result["top1"] > 0.5


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    backbone = encoders.build("digits", 1)
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 1e38)  # finite, but its square is not
    encoders.save_encoder(tmp_path, backbone, CONFIG, {})
    with pytest.raises(DataError, match="features"):
        eval_linear(quick(tmp_path))
    assert not (tmp_path / "eval").exists()


def test_every_setting_is_declared() -> None:
    for name, field in EvalLinearSettings.model_fields.items():
        declared = declaration(field)
        assert declared is not None, name
        assert declared.text, name


def test_importing_the_stage_imports_no_scikit_learn_and_its_settings_no_torch() -> None:
    program = (
        "import sys, copgen.stages.eval.settings; assert 'torch' not in sys.modules;"
        "import copgen.stages.eval.linear; assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
