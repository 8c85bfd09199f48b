"""The progress bar: title, bar, samples, rate, time left and the latest metrics, on one line."""

from __future__ import annotations

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from copgen.runtime.counts import format_count
from copgen_cli.console import Channel
from copgen_cli.wording import pace


class Rate(ProgressColumn):
    """Units per second over the last half minute."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(pace(speed), style="magenta")


class Bar:
    """One task on a terminal."""

    def __init__(self, channel: Channel, *, title: str, total: int, unit: str, done: int) -> None:
        whole = f"{format_count(total)} {unit}" if channel.width >= 100 else format_count(total)
        self._progress = Progress(
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
            TextColumn("{task.completed:,.0f}/" + whole, table_column=Column(no_wrap=True)),
            Rate(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[figures]}", markup=False, table_column=Column(no_wrap=True)),
            console=channel,
            expand=True,
        )
        self._task = self._progress.add_task(title, total=total, completed=done, figures="")
        self._progress.start()

    def show(self, done: int, figures: str) -> None:
        self._progress.update(self._task, completed=done, figures=figures)

    def close(self) -> None:
        self._progress.stop()
