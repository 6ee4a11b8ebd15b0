"""Show a run on the terminal: progress while it runs, a summary at its end."""

import contextlib
import os
import sys
from typing import Any, Self

from orderflow.command import CLEAR_LINE, is_terminal, say
from orderflow.issues import HARMLESS, describe, losses
from orderflow.times import format_duration, format_utc
from replay.run import FINISHED, Replay

ENGINE_LABELS = {
    "compiled": "compiled book",
    "python": "book in pure Python, the compiled one is not in use",
}


class StatusLine:
    """One line on a terminal that is written over, and nothing elsewhere.

    Give it less than 40 columns, so that it does not wrap and leaves nothing behind when the
    terminal is made narrower; in a terminal narrower than that it shows as much as fits.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and is_terminal()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.write("")

    def write(self, line: str) -> None:
        """Write a line over the one before."""
        if not self._shown:
            return
        with contextlib.suppress(OSError):  # nobody looks any more
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            # The cursor waits at the start of the line, for whatever is to be said next.
            sys.stderr.write(f"{CLEAR_LINE}{line[: columns - 1]}\r")
            sys.stderr.flush()


class Progress(StatusLine):
    """Show the share done, rows per second and time left on a terminal; nothing elsewhere."""

    def show(self, replay: Replay) -> None:
        """Show how far `replay` is."""
        if not self._shown:
            return
        liveness = replay.liveness()
        if liveness["live"]:
            rows = replay.processor.rows + replay.processor.warm_up_rows
            self.write(live_line(liveness["behind_ms"], rows))
        elif liveness["waiting_for"]:
            self.write("waiting for a recording")
        else:
            self.write(progress_line(replay.progress, replay.rows_per_second, replay.seconds))


def progress_line(share: float, rows_per_second: float, seconds: float) -> str:
    """Return how far a run is after `seconds`, as a line of less than 40 columns."""
    rate = rows_per_second
    text = f"{rate / 1000:,.0f}k" if rate >= 10_000 else f"{rate:,.0f}"
    line = f"{share:4.0%}  {text} rows/s".replace("%", " %")
    left = seconds * (1 - share) / share if share > 0 else 0
    return f"{line}  {format_duration(left)} left" if left else line


def live_line(behind_ms: int | None, rows: int) -> str:
    """Return how far behind a followed recording the run is, in less than 40 columns."""
    behind = "" if behind_ms is None else f", {behind_ms / 1000:,.1f} s behind"
    return f"live{behind}, {rows:,} rows"


class WaitingLine:
    """Say once what a run waits for, terminal or not."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown

    def show(self, replay: Replay) -> None:
        """Say what `replay` waits for, if it does and that was not said before."""
        waiting_for = replay.liveness()["waiting_for"]
        if waiting_for and self._shown:
            self._shown = False
            say(f"Nothing to replay yet: {waiting_for}. Waiting for it; Ctrl+C ends.")


def start_line(replay: Replay) -> str:
    """Return a line that says what is about to be replayed, and by which book."""
    recording, options = replay.recording, replay.options
    if options.follow:
        return f"following {options.instrument} with the {_engine(replay)}"
    files = len({table.path for table in (*recording.books, *recording.trades)})
    return (
        f"replaying {options.instrument} from {files} file{'s' * (files != 1)} "
        f"({replay.book_mode}) with the {_engine(replay)}"
    )


def _engine(replay: Replay) -> str:
    return ENGINE_LABELS[replay.processor.book.engine]


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """Return a run's summary (see `Replay.summary`) as lines for a person to read."""
    state = summary["state"] + (f": {summary['reason']}" if summary["reason"] else "")
    ends = summary["first_event"], summary["event_time"]
    span = " to ".join(map(format_utc, ends))
    rate = f"{summary['rows_per_second']:,.0f} rows/s, {summary['engine']} book"
    silence = summary["longest_silence_ms"] / 1000
    return [
        f"{summary['instrument']}  {state}",
        f"  bars        {summary['bars']:,} of {summary['window_seconds']} s from "
        f"{summary['trades']:,} trades, volume {summary['volume']:,.10g}, "
        f"CVD {summary['cvd']:+,.10g}",
        f"  book        {summary['rows']:,} rows ({summary['book_mode']}), "
        f"longest silence {silence:,.1f} s",
        f"  covers      {span} UTC",
        f"  took        {summary['seconds']:.2f} s, {rate}",
        f"  data issues {data_issues(summary)}",
    ]


def data_issues(summary: dict[str, Any]) -> str:
    """Return in words which data issues a run found (see `orderflow.issues`), or "none".

    "None" is said only of a whole run: one that was stopped or failed knows only what it has read.
    What was recorded twice is harmless and listed separately.
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
    is_known = summary["state"] == FINISHED and not summary["unchecked"]
    text = ", ".join(lost) or ("none" if is_known else "none in what was read")
    text = f"{text} ({', '.join(harmless)}, each used once)" if harmless else text
    if summary["recorder_losses"]:
        text += f"; lost by the recorder: {', '.join(recorder_losses(summary))}"
    if summary["unchecked"]:
        text += f"; not checked for damage: {', '.join(summary['unchecked'])}"
    return text


def recorder_losses(summary: dict[str, Any]) -> list[str]:
    """Return in words how often the recorder lost something, by kind."""
    return [
        f"{count:,} {kind.replace('_', ' ')}" for kind, count in summary["recorder_losses"].items()
    ]
