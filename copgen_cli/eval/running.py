"""Run an evaluation for its command, and answer with its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from copgen.runtime.errors import DataError
from copgen.runtime.settings import resolve
from copgen.stages.eval.settings.common import EncoderSettings, EvalSettings
from copgen_cli import options as o
from copgen_cli.console import Shown
from copgen_cli.dry_run import show_plan
from copgen_cli.next_step import pretrain_on_images

Settings = TypeVar("Settings", bound=EncoderSettings)


def evaluate(
    model: type[EvalSettings],
    kind: str,
    flags: dict[str, Any],
    run: o.Run,
    shown: Callable[[dict[str, Any]], Sequence[Shown]],
    *,
    overwrite: bool = False,
) -> None:
    """Run an evaluation on a dataset with labels, or print its settings, and report the result.

    Args:
        model: its settings.
        kind: of the evaluation, the name of its command.
        flags, run: as the command has them.
        shown: the result as tables and rows.
        overwrite: evaluate again what is finished.
    """

    def results_folder(settings: EvalSettings) -> Path:
        from copgen.stages.eval.opening import results_file

        folder = results_file(settings, kind).parent
        return folder if settings.out else folder.parent  # beside the encoder: with those of other evaluations

    def then(settings: EvalSettings, results: dict[str, Any]) -> list[str]:
        real = results["encoder"]["made_by"].get("settings", {}).get("dataset")
        root = ["--data-root", str(settings.data_root)] if settings.data_root is not None else []
        compare = ["compare", str(results_folder(settings))]
        images = results["dataset"]["images"]["train"]
        return compare if real else [*pretrain_on_images(settings.dataset, images), *root, "--out", "runs/real"]

    measure(model, kind, flags, run, shown, on=lambda settings: settings.dataset, then=then, overwrite=overwrite)


def measure(
    model: type[Settings],
    kind: str,
    flags: dict[str, Any],
    run: o.Run,
    shown: Callable[[dict[str, Any]], Sequence[Shown]],
    *,
    on: Callable[[Settings], str],
    then: Callable[[Settings, dict[str, Any]], Sequence[str]],
    overwrite: bool = False,
) -> None:
    """`evaluate`, on other data than a dataset with labels.

    Args:
        model, kind, flags, run, shown, overwrite: as `evaluate`.
        on: what messages call the data.
        then: the next command.
    """
    story = run.story()
    settings = resolve(model, f"eval {kind}", config=run.config, flags=flags, tell=story.warn)

    from copgen.encoders.encoder import encoder_file
    from copgen.stages.eval.opening import results_file

    file = encoder_file(settings.ckpt)
    if not file.exists():
        raise DataError(f"There is no encoder {file}.", fix="Train one with copgen pretrain, or pass --ckpt.")
    with story:
        story.say(f"Evaluating {file} on {on(settings)}.")
        story.explain(settings.to_toml())
        if run.dry_run:
            show_plan(settings, {}, as_json=run.as_json)
            return
        name = kind.replace("-", "_")
        stage = getattr(import_module(f"copgen.stages.eval.{name}"), f"eval_{name}")
        results = stage(settings, overwrite=overwrite, events=story)
    written = results_file(settings, kind)
    found = [*shown(results), ("results", str(written))]
    run.answer({**results, "results": str(written)}, found, "copgen", *then(settings, results))
