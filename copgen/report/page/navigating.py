"""The charts and tables of a navigate run."""

from __future__ import annotations

from copgen.latents.genrep import prior_std_of
from copgen.report.page import published
from copgen.report.page.chart import DASHED, DOTTED, Chart
from copgen.report.page.evolution import kept_samples
from copgen.report.page.log import Curve
from copgen.report.page.record import Record
from copgen.report.page.values import number, numbers

RULES = {  # name in the metrics: name of the rule, tone
    "rule_delta": ("delta", "orange"),
    "rule_band": ("band", "blue"),
    "rule_loss_turn": ("loss-turn", "green"),
    "rule_perceptual": ("perceptual", "purple"),
    "rule_probe": ("probe", "grey"),
}


def losses(record: Record) -> Chart:
    """The losses of f and T_z against chance, with the paper's curve for BigBiGAN."""
    curves = record.log.curves
    chart = Chart("losses of f and of T_z over the training", "loss, nats", end=_end(record))
    if (f := curves.get("loss_encoder")) is None:
        return chart
    T_z = curves.get("loss_navigator")
    chance = record.log.last("chance")
    one = T_z is None or T_z.y == f.y
    chart.line(f, "pale", "f (minimises) and T_z (maximises)" if one else "f, minimises", width=1.2)
    if T_z is not None and not one:
        chart.line(T_z, "orange", "T_z, maximises", dash=DASHED, width=1.4)
    if "loss_smoothed" in curves:
        chart.line(curves["loss_smoothed"], "blue", "f, smoothed", width=2.4)
    if chance is not None and published.corresponds(generator_of(record)):
        curve = published.until(published.LOSS, max(f.x))
        scaled = Curve(curve.x, [chance * share for share in curve.y])
        chart.line(scaled, "grey", "f in the paper, at this chance level", dash=DOTTED, width=2.0)
    if chance is not None:
        chart.limit(chance, f"chance {chance:.2f}")
    _kept(chart, record)
    return chart


def trajectory_std(record: Record) -> Chart:
    """The standard deviation of z' - z, with GenRep's prior value and the paper's curve for BigBiGAN."""
    curves = record.log.curves
    chart = Chart(
        "standard deviation of trajectories over the training",
        "std of z\u2032 \u2212 z, per coordinate",
        low=0.0,
        end=_end(record),
    )
    if "shift_std" not in curves:
        return chart
    chart.line(curves["shift_std"], "blue", "this run", width=2.2)
    generator = generator_of(record)
    if published.corresponds(generator):
        known = published.until(published.STD, max(curves["shift_std"].x))
        chart.line(known, "grey", "the paper", dash=DOTTED, width=2.0)
    prior = number(record.config, "prior_std") or prior_std_of(generator)
    if prior is not None:
        chart.limit(prior, f"GenRep's Gaussian {prior:g}")
    _kept(chart, record)
    return chart


def trajectory_mean(record: Record) -> Chart:
    """The mean of z' - z."""
    curves = record.log.curves
    chart = Chart(
        "mean of trajectories over the training",
        "mean of z\u2032 \u2212 z, per coordinate",
        low=-published.MEAN_WITHIN,
        high=published.MEAN_WITHIN,
        end=_end(record),
    )
    if "shift_mean" in curves:
        chart.line(curves["shift_mean"], "blue", "this run", width=2.0)
        chart.limit(0.0, "")
        if published.corresponds(generator_of(record)):
            for sign, label in ((1, "the paper: within \u00b10.03"), (-1, "")):
                chart.limit(sign * published.MEAN_WITHIN, label, "grey")
        _kept(chart, record)
    return chart


def distance(record: Record) -> Chart:
    """d(z, z') of the batches, with delta."""
    curves = record.log.curves
    chart = Chart("distance d over the training", "d(z, z\u2032), RMS per coordinate", low=0.0, end=_end(record))
    if (mean := curves.get("d_mean")) is None:
        return chart
    if (std := curves.get("d_std")) is not None and std.x == mean.x:
        low = Curve(mean.x, [m - s for m, s in zip(mean.y, std.y, strict=True)])
        high = Curve(mean.x, [m + s for m, s in zip(mean.y, std.y, strict=True)])
        chart.band(low, high, "blue", "\u00b1 1 std of the batch")
    if "d_p95" in curves:
        chart.line(curves["d_p95"], "orange", "95th percentile", dash=DASHED, width=1.4)
    chart.line(mean, "blue", "mean", width=2.2)
    _delta(chart, record)
    _kept(chart, record)
    return chart


def histogram(record: Record) -> Chart:
    """The distribution of d under the navigator, with delta."""
    edges, counts = (numbers(record.displacement, "d", name) for name in ("edges", "counts"))
    chart = Chart(
        "histogram of d under the navigator",
        "latents",
        "d(z, z\u2032), RMS per coordinate",
        low=0.0,
        x_tick=lambda value: f"{value:.3g}",
    )
    if counts and len(edges) == len(counts) + 1:
        chart.bars(edges, counts, "blue")
        if (delta := number(record.config, "delta")) is not None:
            chart.moment(float(delta), f"\u03b4 = {delta:g}", "orange")
    return chart


def rules(record: Record) -> Chart:
    """How close each stop rule was to ending the run."""
    chart = Chart("how close each stop rule is to acting", "share of the rule's limit", low=0.0, end=_end(record))
    acting = stop_rules(record)
    for key, (name, tone) in RULES.items():
        if (curve := record.log.curves.get(key)) is not None:
            role = "ends the run" if name in acting else "watched"
            capped = Curve(curve.x, [min(value, 3.0) for value in curve.y])
            chart.line(
                capped,
                tone,
                f"{name} ({role})",
                dash=() if name in acting else DASHED,
                width=2.4 if name in acting else 1.6,
                dots=len(curve.x) < 40 and name == "perceptual",
            )
    if not chart.empty:
        chart.limit(1.0, "acts")
        _kept(chart, record)
    return chart


def blocks(record: Record) -> Chart:
    """The displacement of each latent block."""
    found = numbers(record.displacement, "blocks")
    chart = Chart(
        "displacement of each latent block",
        "RMS of T_z(z), per coordinate",
        "latent block",
        low=0.0,
        x_tick=lambda value: f"{value:g}",
    )
    if found:
        chart.bars([k - 0.5 for k in range(len(found) + 1)], found, "blue")
    return chart


def stop_rules(record: Record) -> set[str]:
    """The rules that may end the run."""
    given = {part.strip() for part in str(record.config.get("stop", "samples")).split(",")}
    return {"loss-turn" if name == "turn" else name for name in given}


def generator_of(record: Record) -> str:
    """The name of its generator."""
    return str(record.config.get("generator", ""))


def _delta(chart: Chart, record: Record) -> None:
    if (delta := number(record.config, "delta")) is not None:
        chart.limit(float(delta), f"\u03b4 = {delta:g}", "orange")


def _kept(chart: Chart, record: Record) -> None:
    if (kept := kept_samples(record)) is not None and not chart.empty:
        chart.moment(kept, f"kept {kept:,}")


def _end(record: Record) -> float | None:
    """The samples of an unfinished run, so that what is left is seen."""
    planned = number(record.config, "samples")
    return float(planned) if planned is not None and not record.finished else None
