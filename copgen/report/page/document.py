"""The document: a section for each run, the results of evaluations, and everything that it needs within itself.

It has no external references, and its Content-Security-Policy forbids any request.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

from copgen.report.comparison import Result
from copgen.report.page import navigating, palette, pretraining
from copgen.report.page.chart import Chart
from copgen.report.page.displacing import rules_html, split, split_html
from copgen.report.page.drawing import Drawing
from copgen.report.page.evolution import Evolution, evolution_of, figure
from copgen.report.page.facts import facts_html, kind_of, state_of
from copgen.report.page.html import code, escaped, missing, tag
from copgen.report.page.provenance import provenance_html
from copgen.report.page.record import NAVIGATE, PRETRAIN, STEERING, Record
from copgen.report.page.results import results_html
from copgen.report.page.svg import svg
from copgen.report.page.values import number as number_of
from copgen.report.page.values import numbers

MADE_BY = "copgen report"
OLDER = "it was made by an older copgen."


@dataclass
class Page:
    """The document, and what else can be written of it.

    Attributes:
        html: the whole document.
        drawings: the charts of the runs, by (number of the run, name).
        evolutions: the figures of the navigate runs, by number of the run.
    """

    html: str = ""
    drawings: dict[tuple[int, str], Drawing] = field(default_factory=dict)
    evolutions: dict[int, Evolution] = field(default_factory=dict)


def page_of(records: Sequence[Record], results: Sequence[Result], *, live: bool = False) -> Page:
    """The page of runs and results; at least one of either.

    Args:
        records: runs, a section each.
        results: of evaluations, compared in one section.
        live: it is served while a run is being written, and follows the server's events.
    """
    page = Page()
    sections = [_section(page, number, record, records) for number, record in enumerate(records)]
    sections.append(tag("section", tag("h2", "Evaluations") + results_html(results), class_="run", id="evaluations"))
    names = [(f"run-{k}", str(record.path)) for k, record in enumerate(records)] + [("evaluations", "Evaluations")]
    links = "".join(f'<a href="#{anchor}">{escaped(name)}</a>' for anchor, name in names)
    title = ", ".join(str(record.path) for record in records) or "evaluations"
    body = (
        tag("header", tag("h1", "copgen report") + tag("nav", links))
        + tag("main", "".join(sections))
        + tag(
            "footer",
            f"Written by {code(MADE_BY)}. COP-Gen: Li et al., Optimal Positive Pair Generation for Contrastive "
            "Learning, NeurIPS 2022. Paper values are from its figures, tables and released code.",
        )
    )
    page.html = _document(f"{title} \u2013 copgen report", body, live=live)
    return page


def waiting_page(told: str) -> str:
    """A live page that says why there is none yet."""
    body = (
        tag("header", tag("h1", "copgen report"))
        + tag("main", tag("p", escaped(told), class_="gap"))
        + tag("footer", f"Served by {code(MADE_BY)}.")
    )
    return _document("copgen report", body, live=True)


def _document(title: str, body: str, *, live: bool) -> str:
    script = _asset("page.js") + (_asset("live.js") if live else "")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        f"connect-src {chr(39)}{'self' if live else 'none'}{chr(39)}; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped(policy)}">'
        f'<meta name="generator" content="{MADE_BY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
        f"<title>{escaped(title)}</title><style>{palette.css()}{_asset('page.css')}</style></head>"
        f"<body>{body}<script>{script}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return resources.files("copgen.report.page").joinpath(name).read_text("utf-8")


def _section(page: Page, number: int, record: Record, records: Sequence[Record]) -> str:
    others = [other for other in records if other is not record]
    parts = [
        tag("p", f"{escaped(kind_of(record))} {state_of(record)}", class_="kind"),
        tag("h2", escaped(record.path)),
        facts_html(record),
        *(tag("p", escaped(problem), class_="trouble") for problem in record.problems),
    ]
    if record.stage == NAVIGATE:
        parts += _navigate(page, number, record, others)
    else:
        parts += _training(page, number, record)
    parts.append(tag("h3", "Provenance and licences") + provenance_html(record))
    return tag("section", "".join(parts), class_="run", id=f"run-{number}")


def _navigate(page: Page, number: int, record: Record, others: Sequence[Record]) -> list[str]:
    found = evolution_of(record, others)
    if found.columns:
        page.evolutions[number] = found

    def chart(name: str, drawn: Chart, caption: str, absent: str) -> str:
        return _figure(page, number, name, drawn, caption, absent)

    no_metrics = missing("No metrics have been logged yet.")
    logged = {name for name in navigating.RULES if name in record.log.curves}
    one_block = len(numbers(record.displacement, "blocks")) == 1
    return [
        tag("h3", "Anchors and their positives"),
        *(tag("p", escaped(problem), class_="trouble") for problem in found.problems),
        figure(found, record),
        tag("h3", "Training"),
        '<div class="pair">',
        chart(
            "losses",
            navigating.losses(record),
            "InfoNCE of the two players: f minimises it, T_z maximises it. At chance, f cannot tell positives from "
            "negatives.",
            no_metrics,
        ),
        chart("distance", navigating.distance(record), "How far positives are from their anchors.", no_metrics),
        chart(
            "trajectory-std",
            navigating.trajectory_std(record),
            "The authors stopped by eye, when this was near GenRep's value and the pictures still kept their meaning.",
            no_metrics,
        ),
        chart("trajectory-mean", navigating.trajectory_mean(record), "The drift that all latents share.", no_metrics),
        "</div>",
        tag("h3", "Stop rules"),
        rules_html(record),
        '<div class="pair">',
        chart(
            "rules",
            navigating.rules(record),
            "Each rule in units of its own limit, whether it acts or is only watched.",
            missing(f"How close each rule was is not in this run: {OLDER}" if record.log.lines else "Not logged yet."),
        )
        if logged or not record.log.lines
        else missing(f"How close each rule was is not in this run: {OLDER}"),
        chart(
            "histogram",
            navigating.histogram(record),
            f"{number_of(record.displacement, 'draws') or 0:,} latents that were not trained on.",
            missing(f"The histogram of d is not in this run: {OLDER}" if record.finished else "Not measured yet."),
        ),
        "</div>",
        tag("h3", "What T_z does"),
        '<div class="pair">',
        _split(page, number, record),
        missing("The generator has one latent block, so there is nothing to compare.")
        if one_block
        else chart(
            "blocks",
            navigating.blocks(record),
            "How far T_z moves each part of z that enters another layer of the generator.",
            missing("The displacement of each latent block is not measured in this run."),
        ),
        "</div>",
    ]


def _training(page: Page, number: int, record: Record) -> list[str]:
    def chart(name: str, drawn: Chart, caption: str, absent: str) -> str:
        return _figure(page, number, name, drawn, caption, absent)

    parts = [
        tag("h3", "Training"),
        '<div class="pair">',
        chart("loss", pretraining.loss(record), "", missing("No loss has been logged yet.")),
        chart(
            "lr",
            pretraining.learning_rate(record),
            "",
            missing("The learning rate is not logged in this run, or is constant."),
        ),
    ]
    if record.stage == PRETRAIN:
        ask = f"{code('copgen pretrain --monitor DATASET')} logs it."
        parts += [
            chart("data-wait", pretraining.data_wait(record), "", missing("The wait for data is not logged yet.")),
            chart("probes", pretraining.probes(record), "", missing("No probe was trained beside this run.", ask)),
            chart("rank", pretraining.rank(record), "", missing("RankMe was not measured.", ask)),
            chart("geometry", pretraining.geometry(record), "", missing("Alignment was not measured.", ask)),
        ]
    parts.append("</div>")
    if record.stage == STEERING:
        parts.append(
            missing("Pass a navigate run of the same generator and seed too, to see both positives beside each other.")
        )
    return parts


def _figure(page: Page, number: int, name: str, drawn: Chart, caption: str, absent: str) -> str:
    if drawn.empty:
        return absent
    made = drawn.drawing()
    page.drawings[number, name] = made
    told = tag("figcaption", escaped(caption)) if caption else ""
    return tag("figure", svg(made) + told, class_="chart")


def _split(page: Page, number: int, record: Record) -> str:
    if (drawn := split(record)) is not None:
        page.drawings[number, "split"] = drawn
    return split_html(record)
