"""The first lines of a run's section: what it is, how far it is, and its main numbers."""

from __future__ import annotations

from collections.abc import Iterator

from copgen.report.page.html import escaped, tag
from copgen.report.page.log import Log
from copgen.report.page.navigating import generator_of
from copgen.report.page.record import NAVIGATE, PRETRAIN, STEERING, Record
from copgen.report.page.values import number

KINDS = {NAVIGATE: "navigator T_z", STEERING: "steering walk", PRETRAIN: "encoder"}


def kind_of(record: Record) -> str:
    """What the run trains, and with what."""
    what = KINDS.get(record.stage, record.stage)
    generator, pairs, dataset = generator_of(record), record.config.get("pairs"), record.config.get("dataset")
    if generator:
        return f"{what} for {generator}"
    return f"{what} from {pairs or dataset}" if pairs or dataset else what


def state_of(record: Record) -> str:
    """Whether it is finished, as HTML."""
    if record.finished:
        return ""
    return tag("span", "still running" if record.running else "unfinished: run its command again", class_="state")


def facts_html(record: Record) -> str:
    """The main numbers."""
    rows = "".join(
        tag("div", tag("dt", escaped(name)) + tag("dd", escaped(value) + (tag("small", escaped(note)) if note else "")))
        for name, value, note in _facts(record)
    )
    return tag("dl", rows, class_="facts") if rows else ""


def _facts(record: Record) -> Iterator[tuple[str, str, str]]:
    log, summary = record.log, record.summary
    drawn = number(summary, "samples") or log.last("samples")
    planned = number(record.config, "samples")
    if drawn is not None:
        ended = f"ended by {summary['ended_by']}" if "ended_by" in summary else ""
        yield "samples", f"{drawn:,.0f}", ended or (f"of {planned:,}" if planned else "")
    loss = number(summary, "loss_smoothed") or number(summary, "loss") or log.last("loss_smoothed") or log.last("loss")
    chance = number(summary, "chance") or log.last("chance")
    if loss is not None:
        share = f"chance {chance:.2f}, {100 * loss / chance:.0f} % of it" if chance else ""
        yield "loss, nats", f"{loss:.3f}", share
    d = number(summary, "shift", "d_mean") or log.last("d_mean")
    if d is not None:
        delta = number(record.config, "delta")
        yield "mean d(z, z\u2032)", f"{d:.4f}", f"\u03b4 = {delta:g}" if delta else ""
    for name, label in (("linear_top1", "linear probe, Top-1"), ("knn_top1", "neighbours, Top-1")):
        if (value := log.last(name)) is not None:
            yield label, f"{100 * value:.1f} %", "validation split"
    seed, batch = record.config.get("seed"), record.config.get("batch")
    if batch is not None:
        yield "batch", f"{batch}", f"seed {seed}" if seed is not None else ""
    if (times := _times(log)) is not None:
        seconds, rate = times
        yield "time", _duration(seconds), f"{rate:,.0f} samples/s" if rate else ""


def _times(log: Log) -> tuple[float, float | None] | None:
    """Seconds in all, and samples per second since the last start: the clock restarts when a run is resumed."""
    clock = log.curves.get("seconds")
    if clock is None or not clock.y:
        return None
    starts = [k for k in range(1, len(clock.y)) if clock.y[k] < clock.y[k - 1]]
    total = clock.y[-1] + sum(clock.y[k - 1] for k in starts)
    before = clock.x[starts[-1] - 1] if starts else 0.0
    known = "samples" in log.curves and clock.y[-1] > 0
    return total, (clock.x[-1] - before) / clock.y[-1] if known else None


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
