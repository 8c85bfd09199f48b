"""What T_z does: its split into constant, linear and nonlinear parts, and what each stop rule said, as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from copgen.report.page import published
from copgen.report.page.drawing import Area, Drawing, Text, width_of
from copgen.report.page.html import code, escaped, missing, table, tag
from copgen.report.page.navigating import RULES, generator_of, stop_rules
from copgen.report.page.record import Record
from copgen.report.page.svg import svg
from copgen.report.page.values import number
from copgen.report.page.values import table as table_of

PARTS = (("constant", "blue"), ("linear", "green"), ("nonlinear", "orange"))
NOISE = ("noise", "purple")  # of a navigator with noise
WIDTH, BAR, NAME = 480.0, 26.0, 110.0  # pixels


def split(record: Record) -> Drawing | None:
    """The shares of E|T_z(z)|^2 as a bar, with that of the authors' navigator for BigBiGAN; None if not measured."""
    own = table_of(record.displacement, "split")
    if not all(number(own, name) is not None for name, _ in PARTS):
        return None
    bars: list[tuple[str, Mapping[str, Any]]] = [("this navigator", own)]
    if published.corresponds(generator_of(record)):
        bars.append(("the authors' own", published.SPLIT))
    found = Drawing(WIDTH, 34.0 + len(bars) * (BAR + 12.0), "split of the displacement")
    x = NAME
    parts = [*PARTS, NOISE] if _has_noise(record) else PARTS
    for name, tone in parts:
        found.marks.append(Area(((x, 6), (x + 12, 6), (x + 12, 16), (x, 16)), tone))
        found.marks.append(Text((x + 18, 16), name))
        x += 36 + width_of(name)
    for row, (label, shares) in enumerate(bars):
        top, x = 32.0 + row * (BAR + 12.0), NAME
        found.marks.append(Text((NAME - 10, top + 17), label, "ink", "end"))
        for name, tone in parts:
            share = max(0.0, float(shares.get(name, 0.0)))
            width = (WIDTH - NAME) * share
            found.marks.append(Area(((x, top), (x + width - 1, top), (x + width - 1, top + BAR), (x, top + BAR)), tone))
            text = f"{100 * share:.0f} %"
            if width > width_of(text) + 6:
                found.marks.append(Text((x + width / 2, top + 17), text, "ground", "middle", bold=True))
            x += width
    return found


def _has_noise(record: Record) -> bool:
    return number(record.displacement, "split", NOISE[0]) is not None


def split_html(record: Record) -> str:
    """The bar, or why there is none."""
    drawn = split(record)
    if drawn is None:
        return _not_measured(record)
    caption = (
        "Shares of E|T_z(z)|\u00b2: a shift that is the same for all latents, a part linear in z, and the rest, which "
        f"is specific to the instance. Least squares over {number(record.displacement, 'draws') or 0:,} new latents."
        + " Noise: the variance of T_z(z, e) for a given z."
        * _has_noise(record)
    )
    return tag("figure", svg(drawn) + tag("figcaption", escaped(caption)), class_="chart")


def _not_measured(record: Record) -> str:
    if record.displacement:
        return missing("The latents have too many coordinates for the split to be fitted.")
    if record.finished:
        return missing(
            "The displacement is not in this run: it was made by an older copgen.",
            f"{code(f'copgen navigator inspect {record.path}')} measures it.",
        )
    return missing("The displacement is measured with each preview, of which there is none yet.")


def rules_html(record: Record) -> str:
    """What each stop rule measured, where it would have ended the run, and which navigator it would have kept."""
    acting = stop_rules(record)
    known = table_of(record.summary, "stop_rules")
    names = {name: key for key, (name, _) in RULES.items()}
    rows = []
    for name in [*names, *(name for name in known if name not in names)]:
        now = record.log.last(names.get(name, ""))
        if name not in known and now is None:
            continue
        rule = table_of(known, name)
        rows.append(
            (
                escaped(name),
                "ends the run" if name in acting else "watched",
                escaped(rule.get("measure", "")),
                _number(rule.get("limit")),
                "" if now is None else f"{now:.2f}",
                _samples(rule.get("acts_at"), "not reached" if known else ""),
                _samples(rule.get("chosen"), ""),
            )
        )
    if not rows:
        return missing("No stop rule has been logged yet.")
    head = ("rule", "role", "measure", "limit", "share of limit, last", "would end it at", "would keep")
    ended = record.summary.get("ended_by")
    said = tag("p", f"This run was ended by {code(str(ended))}.") if ended else ""
    return said + table(head, rows, texts=3)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else ""


def _samples(value: Any, otherwise: str) -> str:
    return f"{value:,}" if isinstance(value, int) else otherwise
