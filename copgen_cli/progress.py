"""The progress display: a bar with title, samples, rate, time left and the latest metrics, and curves below it."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from copgen.runtime.counts import format_count
from copgen_cli.console import Channel
from copgen_cli.curves import Curves
from copgen_cli.wording import pace

TALL = 10  # lines of a terminal that has room for curves


class Bar:
    """One task on a terminal."""

    def __init__(
        self, channel: Channel, *, title: str, total: int, unit: str, done: int, delta: float | None = None
    ) -> None:
        whole = f"{format_count(total)} {unit}" if channel.width >= 100 else format_count(total)
        column = Column(no_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
            TextColumn("{task.completed:,.0f}/" + whole, table_column=column),
            TextColumn("{task.fields[rate]}", style="magenta", markup=False, table_column=column),
            TimeRemainingColumn(compact=True, table_column=column),
            TextColumn("{task.fields[figures]}", markup=False, table_column=column),
            console=channel,
            expand=True,
            auto_refresh=False,
        )
        self._id = self._progress.add_task(title, total=total, completed=done, figures="", rate="")
        self._curves = Curves(delta=delta, unicode=channel.encoding.startswith("utf"))
        self._tall = channel.height >= TALL
        self._live = Live(console=channel, get_renderable=self._drawing, refresh_per_second=8)
        self._live.start()

    def show(self, done: int, figures: str, values: Mapping[str, float]) -> None:
        self._curves.take(values)
        self._progress.update(self._id, completed=done, figures=figures)
        task = self._progress.tasks[0]
        if speed := task.finished_speed or task.speed:
            self._progress.update(self._id, rate=pace(speed))

    def close(self) -> None:
        self._live.stop()

    def _drawing(self) -> Group:
        lines = [*self._curves.lines()] if self._tall else []
        return Group(self._progress, *(Text(line, "dim", no_wrap=True, overflow="crop") for line in lines))
