"""Colours by role, on light and dark pages.

The hues of data are those of Okabe and Ito, which any colour vision tells apart. Curves also differ in dash or weight,
so that nothing rests on hue alone.
"""

from __future__ import annotations

TONES: dict[str, tuple[str, str]] = {  # light, dark
    "ground": ("#fdfdfb", "#15171a"),
    "raised": ("#f4f4f0", "#1d2024"),
    "ink": ("#1c1e21", "#ecebe8"),
    "muted": ("#5b6067", "#a6abb2"),
    "grid": ("#e3e3de", "#2d3137"),
    "axis": ("#a9aba8", "#565c64"),
    "blue": ("#0072b2", "#5ab8ef"),
    "pale": ("#86b8d8", "#2f6f97"),
    "orange": ("#c64f00", "#f39a5b"),
    "green": ("#00805d", "#43c59e"),
    "purple": ("#a8467f", "#e3a0c6"),
    "grey": ("#7d8187", "#8e949c"),
}


def css() -> str:
    """Custom properties of the page, and classes for strokes and fills."""

    def variables(which: int) -> str:
        return "".join(f"--{name}:{pair[which]};" for name, pair in TONES.items())

    classes = "".join(f".s-{name}{{stroke:var(--{name})}}.f-{name}{{fill:var(--{name})}}" for name in TONES)
    return (
        f":root{{color-scheme:light dark;{variables(0)}}}"
        f"@media(prefers-color-scheme:dark){{:root{{{variables(1)}}}}}{classes}"
    )
