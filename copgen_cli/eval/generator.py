"""`copgen eval generator`: scores of generated images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from copgen.runtime.settings import resolve
from copgen.stages.eval.settings.generator import EvalGeneratorSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Row, Shown
from copgen_cli.dry_run import show_plan
from copgen_cli.tables import Table

SCORES = {
    "fid": "FID",
    "frechet_distance": "Fr\u00e9chet distance",
    "inception_score": "Inception Score",
    "class_score": "class score",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
}
REAL = "real halves"


@command(
    "copgen eval generator -g digits --space efficientnet-lite0 -n 2k",
    "copgen eval generator -g bigbigan --dataset imagenet --images both",
    "copgen eval generator --pairs pairs/ --space encoder:runs/pretrain,pixels",
    settings=(EvalGeneratorSettings,),
)
def generator(flags: dict[str, Any], run: o.Run, overwrite: o.Again = False) -> None:
    """Score a generator, or pairs, against real images.

    FID and Inception Score as in Table 8 (space inception); the Fréchet
    distance in other spaces, precision and recall, density and coverage. Beside
    them, what one half of the real images scores against the other.
    """
    story = run.story()
    settings = resolve(EvalGeneratorSettings, "eval generator", config=run.config, flags=flags, tell=story.warn)
    with story:
        story.say(f"Scoring {settings.pairs or settings.generator} against {settings.dataset}.")
        story.explain(settings.to_toml())
        if run.dry_run:
            show_plan(settings, {}, as_json=run.as_json)
            return

        from copgen.stages.eval.generator import eval_generator, results_file

        results = eval_generator(settings, overwrite=overwrite, events=story)
    written = results_file(settings)
    then = ["pretrain", "--pairs", str(settings.pairs)] if settings.pairs else ["navigate", "-g", settings.generator]
    run.answer({**results, "results": str(written)}, [*shown(results), ("results", str(written))], "copgen", *then)


def shown(results: dict[str, Any]) -> Iterator[Shown]:
    """A table for each feature space, and what was compared."""
    sets = [*results["scores"], REAL]
    for name, space in results["spaces"].items():
        rows = []
        for score, title in SCORES.items():
            cells = [cell(results["scores"][one][name], score) for one in results["scores"]]
            if any(cells):
                rows.append((title, *cells, number(results["real_halves"][name].get(score))))
        notes = ["few images: the Fr\u00e9chet distance is too large"] if space["few_images"] else []
        yield Table(f"{name}: {space['text']}", (name, *sets), rows, notes=notes)
    yield from compared(results)


def compared(results: dict[str, Any]) -> Iterator[Row]:
    """What was compared."""
    real = results["dataset"]
    draws = f"{results['draws']} draws of " if results["draws"] > 1 else ""
    made_by = results["generated"]
    of = made_by.get("pairs") or made_by["generator"]["name"]
    yield "generated", f"{draws}{results['n']:,} images of {of}, {real['size']} pixels"
    yield "real", f"{real['images']:,} of {real['of']:,} images of {real['name']}, {real['split']}"
    if results["draws"] > 1:
        yield "+-", "standard deviation over draws"
    elif any("inception_score" in one or "class_score" in one for one in results["real_halves"].values()):
        yield "+-", f"standard deviation over {results['protocol']['splits']} splits of the images"


def cell(scores: dict[str, Any], score: str) -> str:
    """The score with its deviation over draws, or over the splits of an Inception Score; empty if it was not taken."""
    if score not in scores:
        return ""
    deviation = scores[score]["std"]
    if deviation is None:
        deviation = scores.get(f"{score}_splits_std", {}).get("mean")
    return number(scores[score]["mean"]) + ("" if deviation is None else f" +- {number(deviation)}")


def number(value: float | None) -> str:
    """Four digits at most; empty without a value."""
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 1000 else f"{value:,.0f}"
