"""The progress bar: title, bar, samples, rate, time left and the latest metrics, on one line."""

from __future__ import annotations

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from copgen.runtime.counts import format_count
from copgen_cli.console import Channel
from copgen_cli.wording import pace


class Bar:
    """One task on a terminal."""

    def __init__(self, channel: Channel, *, title: str, total: int, unit: str, done: int) -> None:
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
        )
        self._id = self._progress.add_task(title, total=total, completed=done, figures="", rate="")
        self._progress.start()

    def show(self, done: int, figures: str) -> None:
        self._progress.update(self._id, completed=done, figures=figures)
        task = self._progress.tasks[0]
        if speed := task.finished_speed or task.speed:
            self._progress.update(self._id, rate=pace(speed))

    def close(self) -> None:
        self._progress.stop()
