"""Show an export on the terminal: how far it is, what was written, what the recording lacked."""

import contextlib
import os
import sys
import time
from types import TracebackType

from formats.exporting import Exported
from formats.market_pass import MarketPass
from orderflow.command import CLEAR_LINE, is_terminal
from orderflow.issues import HARMLESS, describe, losses
from orderflow.times import format_duration, format_utc
from recordings.discovery import Recording

SECONDS_BETWEEN = 0.1


class ExportProgress:
    """Show the share of the range, rows per second and the time left; on a terminal alone."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown and is_terminal()
        self._began = self._last = time.perf_counter()

    def __enter__(self) -> "ExportProgress":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._write("")

    def show(self, passed: MarketPass, recording: Recording) -> None:
        """Take in how far a pass over a recording is."""
        now, last = time.perf_counter(), passed.processor.last_event
        if not self._shown or last is None or now - self._last < SECONDS_BETWEEN:
            return
        self._last = now
        length = max(recording.last_ms - recording.first_ms, 1)
        share = min(max((last - recording.first_ms) / length, 0.0), 1.0)
        seconds = now - self._began
        rate = f"{passed.processor.rows / seconds:,.0f} rows/s"
        left = format_duration(seconds * (1 - share) / share) if share else "?"
        self._write(f"{share:4.0%}  {rate}  {left} left")

    def _write(self, line: str) -> None:
        if self._shown:
            with contextlib.suppress(OSError):  # nobody looks any more
                columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
                sys.stderr.write(f"{CLEAR_LINE}{line[: columns - 1]}\r")
                sys.stderr.flush()


def export_lines(done: Exported) -> list[str]:
    """Return what was exported as lines for a person to read."""
    found = done.summary
    span = " to ".join(map(format_utc, (found["first_event"], found["event_time"])))
    written = ", ".join(f"{count:,} {name}" for name, count in done.counts.items())
    rate = f"{found['rows'] / done.seconds:,.0f} rows/s" if done.seconds else "-"
    return [
        f"{found['instrument']}  {done.format}, into {done.into}",
        f"  read        {found['rows']:,} book rows, {found['trades']:,} trades, {span} UTC",
        f"  written     {written}, {done.bytes / 1e6:,.1f} MB",
        f"  took        {format_duration(done.seconds)}, {rate}",
        f"  data issues {_issues(done)}",
        *(f"  note        {note}" for note in (*done.notes, *done.advice)),
        f"  not in it   {'; '.join(done.not_carried)}",
    ]


def _issues(done: Exported) -> str:
    counts: dict[str, int] = done.summary["counts"]
    lost = describe(losses(counts))
    if not (done.summary["reliable"] or lost):
        lost.append("the book is not reliable at the end")
    harmless = describe({kind: n for kind, n in counts.items() if kind in HARMLESS})
    text = ", ".join(lost) or ("none in what was read" if done.failure else "none")
    text += f" ({', '.join(harmless)}, each used once)" if harmless else ""
    if done.recorder_losses:
        said = (f"{n:,} {kind.replace('_', ' ')}" for kind, n in done.recorder_losses.items())
        text += f"; lost by the recorder: {', '.join(said)}"
    return text
