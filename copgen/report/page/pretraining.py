"""The charts of a run that trains an encoder, or any other run with a loss."""

from __future__ import annotations

from copgen.report.page.chart import Chart
from copgen.report.page.log import Curve
from copgen.report.page.record import Record
from copgen.report.page.values import number

PERCENT = 100.0


def loss(record: Record) -> Chart:
    """The loss, with chance where the method has one."""
    log = record.log
    bits = "bits_per_dim" in log.curves
    chart = Chart("loss over the training", "bits per dimension" if bits else "loss, nats", end=planned(record))
    name = "bits_per_dim" if bits else "loss"
    if name in log.curves:
        curve = log.curves[name]
        chart.line(curve, "pale", "each update", width=1.0)
        chart.line(smoothed(curve), "blue", "running mean", width=2.4)
        if (chance := log.last("chance")) is not None and not bits:
            chart.limit(chance, f"chance {chance:.2f}")
    return chart


def learning_rate(record: Record) -> Chart:
    """The learning rate."""
    return _one(record, "lr", "learning rate", "learning rate")


def data_wait(record: Record) -> Chart:
    """The share of the time spent waiting for data."""
    chart = _one(record, "data_wait", "data wait, % of the time", "share of the time that waits for data", PERCENT)
    chart.high = 10.0
    return chart


def probes(record: Record) -> Chart:
    """The probes of `--monitor`."""
    chart = Chart("probes during the training", "Top-1 on the validation split, %", end=planned(record))
    for name, label, tone in (("linear_top1", "linear probe", "blue"), ("knn_top1", "nearest neighbours", "orange")):
        if (curve := record.log.curves.get(name)) is not None:
            chart.line(_scaled(curve, PERCENT), tone, label, width=2.2, dots=len(curve.x) < 40)
    return chart


def rank(record: Record) -> Chart:
    """RankMe of the features."""
    return _one(record, "rank_me", "RankMe, effective rank", "effective rank of the features")


def geometry(record: Record) -> Chart:
    """Alignment and uniformity of the projections."""
    chart = Chart("alignment and uniformity during the training", "alignment, uniformity", end=planned(record))
    for name, tone in (("alignment", "blue"), ("uniformity", "orange")):
        if (curve := record.log.curves.get(name)) is not None:
            chart.line(curve, tone, name, width=2.2, dots=len(curve.x) < 40)
    return chart


def planned(record: Record) -> float | None:
    """The samples of an unfinished run, where its settings say."""
    samples, updates, batch = (number(record.config, name) for name in ("samples", "updates", "batch"))
    if record.finished:
        return None
    if samples is not None:
        return float(samples)
    return float(updates * batch) if updates is not None and batch is not None else None


def smoothed(curve: Curve, points: int = 40) -> Curve:
    """An exponential mean with a fortieth of the curve as its time constant, without the bias of its start."""
    keep = 1.0 - 1.0 / max(1.0, len(curve.y) / points)
    mean = weight = 0.0
    found = []
    for value in curve.y:
        mean, weight = keep * mean + (1.0 - keep) * value, keep * weight + (1.0 - keep)
        found.append(mean / weight)
    return Curve(curve.x, found)


def _one(record: Record, name: str, y: str, title: str, factor: float = 1.0) -> Chart:
    chart = Chart(title, y, low=0.0, end=planned(record))
    if (curve := record.log.curves.get(name)) is not None:
        chart.line(_scaled(curve, factor), "blue", width=2.2, dots=len(curve.x) < 40)
    return chart


def _scaled(curve: Curve, factor: float) -> Curve:
    return Curve(curve.x, [factor * value for value in curve.y])
