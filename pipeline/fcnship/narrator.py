"""Tells a run while it works: on standard error, for a person or for a log."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from fcnship.reports.printable import printable
from fcnship.workspace import StageRecord

_SECONDS_BETWEEN_LINES = 10.0


class Narrator:
    """Tells a run on standard error: a bar with the time left on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._stage, self._told = "", 0.0
        # When a piece of work was first heard of, how far it was by then, and how large it is.
        self._piece: tuple[float, int, int] | None = None

    def stage_started(self, name: str) -> None:
        """Remember which stage works, and since when."""
        self._stage, self._told, self._piece = name, time.monotonic(), None

    def stage_unchanged(self, record: StageRecord) -> None:
        """One line."""
        self._line(record.name, "unchanged", "dim")

    def stage_ended(self, record: StageRecord) -> None:
        """One line, with the time or the reason."""
        self.close()
        style = {"done": "green", "skipped": "yellow", "failed": "red"}[record.status]
        # Why a stage failed is the error's to say, once.
        after = (
            f": {printable(record.reason)}" if record.status == "skipped" else f" in {record.seconds:.1f} s"
        )
        self._line(record.name, record.status + after, style)

    def progress(self, done: int, total: int, text: str) -> None:
        """Move the bar, or say a line now and then."""
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._move(done, total, text)
            return
        now = time.monotonic()
        if self._piece is None or self._piece[2] != total:
            self._piece = now, done, total
        if now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            self._line(self._stage, f"{done} of {total}  {text}{self._left(now, done)}", "")

    def say(self, text: str) -> None:
        """One line."""
        self._line(self._stage, printable(text), "dim")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()
        self._bar = self._task = None

    def _left(self, now: float, done: int) -> str:
        """The time left, at the speed since the first word of this piece of work: what came before that
        (imports, a graph that is traced) comes once.
        """
        assert self._piece is not None
        began, first, total = self._piece
        return f"  {(now - began) / (done - first) * (total - done):.0f} s left" if done > first else ""

    def _line(self, stage: str, text: str, style: str) -> None:
        self._console.print(Text.assemble((f"{stage:<10}", "bold"), " ", (text, style)), soft_wrap=True)

    def _move(self, done: int, total: int, text: str) -> None:
        if self._bar is None:
            columns = (
                TextColumn("[bold]{task.fields[stage]:<10}"),
                BarColumn(bar_width=20),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.description}"),
                TimeRemainingColumn(compact=True),
            )
            bar = Progress(*columns, console=self._console, transient=True)
            bar.start()
            self._bar, self._task = bar, bar.add_task("", total=total, stage=self._stage)
        assert self._bar is not None and self._task is not None
        if self._bar.tasks[0].total != total:  # another piece of the same stage's work
            self._bar.reset(self._task, total=total)
        self._bar.update(self._task, completed=done, description=text)
