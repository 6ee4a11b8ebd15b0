"""Tell a run on the terminal: progress while it runs, a summary at its end."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orderflow.issues import HARMLESS, describe, losses
from replay.run import FINISHED, Replay

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

ENGINE_LABELS = {
    "compiled": "compiled book",
    "python": "book in pure Python, the compiled one is not in use",
}


class Progress:
    """Show share done, rows a second and time left on a terminal; nothing elsewhere."""

    def __init__(self, *, shown: bool) -> None:
        self._bar = _make_bar() if shown and sys.stderr.isatty() else None

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, replay: Replay) -> None:
        """Show how far `replay` is."""
        if self._bar:
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=replay.progress, rate=replay.rows_per_second)


def _make_bar() -> "RichProgress":
    from rich import progress  # noqa: PLC0415 (slow to import, and only for a terminal)
    from rich.console import Console  # noqa: PLC0415

    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.percentage:>3.0f} %  {task.fields[rate]:,.0f} rows/s"),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.add_task("replaying", total=1.0, rate=0.0)
    return bar


def start_line(replay: Replay) -> str:
    """Say what is about to be replayed, and by which book."""
    recording = replay.recording
    files = len({table.path for table in (*recording.books, *recording.trades)})
    return (
        f"replaying {replay.options.instrument} from {files} file{'s' * (files != 1)} "
        f"({recording.book_mode}) with the {ENGINE_LABELS[replay.processor.book.engine]}"
    )


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """Write a run's summary (see `Replay.summary`) for a person to read."""
    state = summary["state"] + (f": {summary['reason']}" if summary["reason"] else "")
    span = f"{_moment(summary['first_event'])} to {_moment(summary['event_time'])} UTC"
    rate = f"{summary['rows_per_second']:,.0f} rows/s, {summary['engine']} book"
    silence = summary["longest_silence_ms"] / 1000
    return [
        f"{summary['instrument']}  {state}",
        f"  bars        {summary['bars']:,} of {summary['window_seconds']} s from "
        f"{summary['trades']:,} trades, volume {summary['volume']:,.10g}, "
        f"CVD {summary['cvd']:+,.10g}",
        f"  book        {summary['rows']:,} rows ({summary['book_mode']}), "
        f"longest silence {silence:,.1f} s",
        f"  covers      {span}",
        f"  took        {summary['seconds']:.2f} s, {rate}",
        f"  data issues {data_issues(summary)}",
    ]


def data_issues(summary: dict[str, Any]) -> str:
    """Say in words which data issues a run found (see `orderflow.issues`), or that it found none.

    "None" is said of a whole run alone: one that was stopped or failed knows only what it has read.
    What was recorded twice costs nothing and is said apart.
    """
    counts = dict(summary["counts"])
    lost = describe(losses(counts))
    if not (summary["reliable"] or lost):
        lost.append("the book is not reliable at the end")
    if summary["unknown_sides"]:
        lost = [
            f"{text} ({', '.join(summary['unknown_sides'])})"
            if text.endswith("unknown side")
            else text
            for text in lost
        ]
    harmless = describe({kind: count for kind, count in counts.items() if kind in HARMLESS})
    none = "none" if summary["state"] == FINISHED else "none in what was read"
    text = ", ".join(lost) or none
    return f"{text} ({', '.join(harmless)}, each used once)" if harmless else text


def _moment(ms: int | None) -> str:
    return (
        "-" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    )
