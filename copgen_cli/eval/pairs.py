"""`copgen eval pairs`: the health of a pairs folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from copgen.runtime.settings import resolve
from copgen.stages.eval.settings.pairs import EvalPairsSettings
from copgen_cli import options as o
from copgen_cli.commands import command
from copgen_cli.console import Shown
from copgen_cli.dry_run import show_plan
from copgen_cli.eval.wording import percent
from copgen_cli.next_step import pretrain_on
from copgen_cli.tables import Table

FEWEST = 20  # pairs of a class that is named as the weakest
WEAKEST = 3


@command(
    "copgen eval pairs pairs/",
    "copgen eval pairs pairs/ --encoder runs/pretrain --dataset photos/",
    "copgen eval pairs pairs/ --similarity ms-ssim,lpips --json | jq .verdict",
    settings=(EvalPairsSettings,),
)
def pairs(flags: dict[str, Any], run: o.Run, pairs: o.PairsFolder = Path("pairs"), overwrite: o.Again = False) -> None:
    """Report the health of pairs before training.

    Of a random sample: do anchor and positive have the same label, how similar
    are they, and how much do anchors differ? Compares with thresholds, and
    renders the least and the most similar pairs.
    """
    story = run.story()
    given = {**flags, "pairs": pairs}
    settings = resolve(EvalPairsSettings, "eval pairs", config=run.config, flags=given, tell=story.warn)

    from copgen.stages.eval import pairs as stage

    with story:
        story.explain(settings.to_toml())
        if run.dry_run:
            show_plan(settings, {}, as_json=run.as_json)
            return
        results = stage.eval_pairs(settings, overwrite=overwrite, events=story)
    folder = stage.results_folder(settings)
    written = {"results": str(folder / "results.json"), "picture": str(folder / stage.PICTURE)}
    ready = all(check["ok"] is not False for check in results["checks"])
    then = pretrain_on(pairs) if ready else ["show", f"{pairs}/"]
    run.answer({**results, **written}, [*shown(results), *written.items()], "copgen", *then)


def shown(results: dict[str, Any]) -> list[Shown]:
    """The checks as a table, and what was measured."""
    rows = [check_row(check) for check in results["checks"]]
    measured, of = results["pairs"]["measured"], results["pairs"]["of"]
    advice = [f"{check['name']}: {check['advice']}" for check in results["checks"] if check["advice"] is not None]
    table = Table(
        f"{measured:,} of {of:,} pairs of {results['pairs']['folder']}",
        ("check", "value", "threshold", "is"),
        rows,
        notes=advice,
    )
    found: list[Shown] = [table, ("verdict", results["verdict"])]
    if labels := results["labels"]:
        found += [
            ("labels", f"{percent(labels['agreement'])} % +- {percent(labels['interval95'])} (95 % interval)"),
            ("  null level", f"{percent(labels['null'])} % with the positive of another pair"),
            ("  classifier", f"{labels['classifier']}; {percent(labels['accuracy_real'])} % of real test images"),
        ]
    for name, one in results["similarity"].items():
        found.append((name, f"{in_words(one['pairs'])} ({one['text']})"))
        if one["null"] is not None:
            found.append(("  null level", in_words(one["null"])))
    if d := results["d"]:
        found.append(
            ("d(z, z')", f"mean {d['mean']:.4f}; 1, 50 and 99 %: {d['0.01']:.4f}, {d['0.5']:.4f}, {d['0.99']:.4f}")
        )
    anchors = results["diversity"]
    rank = f"effective rank {anchors['effective_rank']:.1f} of {anchors['most']:,}"
    near = f", median distance to the nearest {anchors['nearest']['0.5']:.4f}" if anchors["nearest"] else ""
    found.append(("anchors", f"{rank}{near} ({anchors['text']})"))
    return [*found, *weakest(results)]


def check_row(check: dict[str, Any]) -> tuple[str, ...]:
    """A check as cells."""
    sign = ">=" if check["side"] == "at least" else "<="
    is_ = {True: "ok", False: "look", None: "unknown"}[check["ok"]]
    value = "" if check["value"] is None else f"{check['value']:.3g}"
    return check["name"], value, f"{sign} {check['threshold']:g}", "by design" if check["by_design"] else is_


def in_words(values: dict[str, float]) -> str:
    """A distribution in words."""
    return f"mean {values['mean']:.3f}; 5, 50 and 95 %: {values['0.05']:.3f}, {values['0.5']:.3f}, {values['0.95']:.3f}"


def weakest(results: dict[str, Any]) -> list[Shown]:
    """The classes with the lowest agreement, or similarity, of those with enough pairs."""
    by = "agreement" if results["labels"] else "similarity"
    known = [(one[by], name) for name, one in results["per_class"].items() if one["pairs"] >= FEWEST]
    if not known:
        return []
    return [(f"lowest {by}", ", ".join(f"{name} {value:.2f}" for value, name in sorted(known)[:WEAKEST]))]
