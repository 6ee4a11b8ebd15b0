"""Tell a run on the terminal: progress while it runs, a summary at its end."""

import contextlib
import os
import sys
from datetime import UTC, datetime
from typing import Any

from orderflow.command import CLEAR_LINE, is_terminal
from orderflow.times import format_duration
from replay.run import Replay

COUNT_LABELS = {
    "rows_skipped": "book rows skipped",
    "levels_rejected": "levels rejected",
    "trades_skipped": "trades skipped",
    "crossed_books": "crossed books",
    "late_rows": "out-of-order rows left out",
    "late_trades": "out-of-order trades left out",
    "repeated_rows": "repeated rows",
    "repeated_trades": "repeated trades",
    "unknown_sides": "trades of unknown side",
    "unusable_samples": "book samples beyond a double",
    "sequence_gaps": "sequence gaps",
}

ENGINE_LABELS = {
    "compiled": "compiled book",
    "python": "book in pure Python, the compiled one is not in use",
}


class Progress:
    """Show share done, rows a second and time left on a terminal; nothing elsewhere.

    One line of less than 40 columns, so that it does not wrap, and nothing of it stays behind when
    the terminal becomes narrower meanwhile; in a terminal narrower still, what fits of it.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and is_terminal()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")

    def show(self, replay: Replay) -> None:
        """Show how far `replay` is."""
        if self._shown:
            self._write(progress_line(replay.progress, replay.rows_per_second, replay.seconds))

    def _write(self, line: str) -> None:
        if not self._shown:
            return
        with contextlib.suppress(OSError):  # nobody looks any more
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            # The cursor waits at the start of the line, for whatever is to be said next.
            sys.stderr.write(f"{CLEAR_LINE}{line[: columns - 1]}\r")
            sys.stderr.flush()


def progress_line(share: float, rows_per_second: float, seconds: float) -> str:
    """Write how far a run is after `seconds`, in less than 40 columns."""
    rate = rows_per_second
    text = f"{rate / 1000:,.0f}k" if rate >= 10_000 else f"{rate:,.0f}"
    line = f"{share:4.0%}  {text} rows/s".replace("%", " %")
    left = seconds * (1 - share) / share if share > 0 else 0
    return f"{line}  {format_duration(left)} left" if left else line


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
    unclean = [
        f"{count:,} {COUNT_LABELS[kind]}" for kind, count in summary["counts"].items() if count
    ]
    if not summary["reliable"]:
        unclean.append("book not reliable at the end (an update is missing)")
    silence = summary["longest_silence_ms"] / 1000
    return [
        f"{summary['instrument']}  {state}",
        f"  bars      {summary['bars']:,} of {summary['window_seconds']} s from "
        f"{summary['trades']:,} trades, volume {summary['volume']:,.10g}, "
        f"CVD {summary['cvd']:+,.10g}",
        f"  book      {summary['rows']:,} rows ({summary['book_mode']}), "
        f"longest silence {silence:,.1f} s",
        f"  covers    {span}",
        f"  took      {summary['seconds']:.2f} s, {rate}",
        f"  not clean {', '.join(unclean) if unclean else 'nothing'}",
    ]


def _moment(ms: int | None) -> str:
    return (
        "-" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    )
