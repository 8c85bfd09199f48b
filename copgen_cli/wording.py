"""Metrics, rates, times and counts as short texts."""

from __future__ import annotations

from collections.abc import Mapping


def figures(values: Mapping[str, float], *, delta: float | None, verbose: bool) -> str:
    """The latest metrics: the loss with its chance level, d with its bound."""
    if verbose:
        return "  ".join(f"{name} {value:.4g}" for name, value in values.items())
    parts = []
    loss = values.get("loss", values.get("loss_encoder"))
    if loss is not None:
        parts.append(f"loss {loss:.2f}" + (f" (chance {values['chance']:.2f})" if "chance" in values else ""))
    if "bits_per_dim" in values:
        parts.append(f"bits/dim {values['bits_per_dim']:.3f}")
    if "d_mean" in values:
        parts.append(f"d {values['d_mean']:.4f}" + (f"/{delta:g}" if delta is not None else ""))
    if values.get("data_wait", 0.0) >= 0.01:
        parts.append(f"data wait {100 * values['data_wait']:.0f} %")
    if "top1" in values:
        parts.append(f"Top-1 {100 * values['top1']:.1f} %")
    return " ".join(parts)


def pace(rate: float) -> str:
    """Units per second: '1.3/s', '640/s', '12k/s'."""
    for suffix, factor in (("M", 1e6), ("k", 1e3)):
        if rate >= 10 * factor:
            return f"{rate / factor:.0f}{suffix}/s"
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


def duration(seconds: float) -> str:
    """A duration: '8 s', '3 min 20 s', '2 h 5 min', '9 d 3 h'."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 72 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400:,} d {whole % 86400 // 3600} h"


def number_of(number: int, thing: str) -> str:
    """'1 shard', '1,200 shards'."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
