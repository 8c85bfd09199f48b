"""What the progress display of a training draws below its bar: losses as small curves, d against delta, stop rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

BLOCKS, ASCII = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588", "_.-=+*#"
FULL, EMPTY = ("\u2588", "\u2591"), ("#", "-")
LOSSES = {"loss_encoder": "f", "loss_navigator": "T_z", "loss": "loss"}
RULE = "rule_"
WIDTH, BAR, MOST = 24, 8, 512  # characters of a curve and of a bar; values that are kept of a curve


class History:
    """The values of a metric so far, thinned by means of neighbours where they become too many."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._pending: list[float] = []
        self._each = 1

    def add(self, value: float) -> None:
        """Take the next value."""
        self._pending.append(value)
        if len(self._pending) == self._each:
            self.values.append(sum(self._pending) / self._each)
            self._pending.clear()
        if len(self.values) == MOST:
            self.values = [(a + b) / 2 for a, b in zip(self.values[::2], self.values[1::2], strict=True)]
            self._each *= 2

    def spark(self, width: int, *, unicode: bool) -> str:
        """A curve of at most so many characters, from the lowest to the highest value."""
        values = self.values or self._pending
        step = max(1.0, len(values) / width)
        starts = [round(k * step) for k in range(min(width, len(values)))]
        shown = [
            sum(part) / len(part)
            for start, stop in zip(starts, [*starts[1:], len(values)], strict=True)
            if (part := values[start:stop])
        ]
        ramp = BLOCKS if unicode else ASCII
        low, high = min(shown, default=0.0), max(shown, default=0.0)
        top = len(ramp) - 1
        return "".join(ramp[round(top * (value - low) / (high - low)) if high > low else 0] for value in shown)


class Curves:
    """Collects metrics and draws them.

    Args:
        delta: the bound on d(z, z'), if there is one.
        unicode: whether the terminal draws blocks.
    """

    def __init__(self, *, delta: float | None, unicode: bool) -> None:
        self.delta, self.unicode = delta, unicode
        self._histories: dict[str, History] = {}
        self._rules: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def take(self, values: Mapping[str, float]) -> None:
        """The metrics of an update."""
        self._last.update(values)
        for name in (*LOSSES, "d_mean"):
            if name in values:
                self._histories.setdefault(name, History()).add(values[name])
        self._rules |= {name.removeprefix(RULE): value for name, value in values.items() if name.startswith(RULE)}

    def lines(self) -> Iterator[str]:
        """The drawing; empty without anything to draw."""
        losses = [f"{label} {self._spark(name)} {self._last[name]:.3f}" for name, label in self._shown().items()]
        if losses:
            chance = f"   chance {self._last['chance']:.3f}" if "chance" in self._last else ""
            yield f"  loss   {'   '.join(losses)}{chance}"
        if "d_mean" in self._histories:
            mark = "\u03b4" if self.unicode else "delta"
            bound = (
                "" if self.delta is None else f"   {mark} {self.delta:g} {self._bar(self._last['d_mean'] / self.delta)}"
            )
            yield f"  d      {self._spark('d_mean')} {self._last['d_mean']:.4f}{bound}"
        if self._rules:
            told = [f"{name.replace('_', '-')} {self._bar(value)}" for name, value in self._rules.items()]
            yield f"  stop   {'   '.join(told)}"

    def _shown(self) -> dict[str, str]:
        """The losses; one that both players share is drawn once."""
        found = {name: label for name, label in LOSSES.items() if name in self._histories}
        f, T_z = (self._histories.get(name) for name in ("loss_encoder", "loss_navigator"))
        if f is not None and T_z is not None and f.values == T_z.values:
            return {"loss_encoder": "f, T_z"}
        return {name: "" if label == "loss" else label for name, label in found.items()}

    def _spark(self, name: str) -> str:
        return self._histories[name].spark(WIDTH, unicode=self.unicode)

    def _bar(self, share: float) -> str:
        full, empty = (FULL[0], FULL[1]) if self.unicode else EMPTY
        filled = round(BAR * min(1.0, max(0.0, share)))
        return f"{full * filled}{empty * (BAR - filled)} {100 * share:.0f} %"
