"""One run of a recorder as the command line has it: files, writer, feed, and what is said of it."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from orderflow.command import Signals, stop_on_signals
from orderflow.errors import OrderflowError, OutputError, UsageError
from orderflow.instruments import check_instrument
from orderflow.times import format_duration
from recordings.day_files import RETRY_MS, DayFiles
from recordings.recorder import Recorder, RecorderOptions
from recordings.recorder_rows import EVENT_KINDS
from recordings.row_writer import RowWriter

MOST_INSTRUMENTS = 100
EXCHANGES = ("okx",)


class NothingRecordedError(OrderflowError):
    """Report that there was never a connection to `url`, so that nothing was recorded."""

    def __init__(self, message: str, url: str) -> None:
        super().__init__(message)
        self.url = url


class RecordingRun:
    """Record instruments of an exchange into day files under `directory`, once.

    `say` takes lines for a person; `on_commit` is called when rows are in the files. Raise
    `UsageError` for what can't be recorded, `RecorderInUseError` or `OutputError` for a directory
    that is in use or can't be written.
    """

    def __init__(
        self,
        exchange: str,
        instruments: Sequence[str],
        directory: Path,
        options: RecorderOptions,
        say: Callable[[str], None],
        retry_seconds: float = RETRY_MS / 1000,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        _check(exchange, instruments, options)
        self._exchange, self._directory, self._options = exchange, directory, options
        self._on_commit = on_commit
        self._began = time.monotonic()
        self._files: list[DayFiles] = []
        self.recorder = Recorder(list(dict.fromkeys(instruments)), options, say)
        now = time.time_ns() // 1_000_000
        with ExitStack() as on_failure:
            for name, followed in self.recorder.instruments.items():
                try:
                    files = DayFiles(directory, name, now, say, round(1000 * retry_seconds))
                except OSError as error:
                    msg = f"{directory} can't be written ({error}); name another with --data-dir"
                    raise OutputError(msg, directory) from error
                on_failure.callback(files.close, now)
                self._files.append(files)
                followed.know_trades(files.last_trades)
            on_failure.pop_all()

    def run(self) -> Signals:
        """Record until it is over, and return which signal asked for that."""
        with stop_on_signals(self.recorder.stop) as signals:
            self.record()
        return signals

    def record(self) -> None:
        """Record until the recorder is stopped; in any thread, and signals are others' matter."""
        with RowWriter(
            self._files, self.recorder.writer_changed, on_commit=self._on_commit
        ) as writer:
            self.recorder.run(writer)

    def check(self, *, stopped: bool) -> None:
        """Raise, once it is over, what makes a run a failure; losses alone do not.

        That there was never a connection is no failure of a run that somebody has `stopped`.
        """
        refused = self.recorder.refused
        if len(refused) == len(self._files):
            said = "; ".join(f"{name}: {text}" for name, text in refused.items())
            msg = f"{self._exchange} has none of the instruments: {said}"
            raise UsageError(msg, "INSTRUMENT", list(refused))
        for files in self._files:
            if files.failure:
                msg = f"{files.instrument} could not be written to the end: {files.failure}"
                raise OutputError(msg, self._directory)
        why_not = self.recorder.why_not
        if why_not is None and not any(files.book_rows + files.trades for files in self._files):
            why_not = f"{self._options.url} took the connection, and no row has come of it"
        if why_not is not None and not stopped:
            msg = f"nothing was recorded: {why_not}"
            raise NothingRecordedError(msg, self._options.url)

    def summary(self) -> dict[str, Any]:
        """Return what was recorded and what was lost, by instrument, for --json."""
        return {
            "schema": 1,
            "exchange": self._exchange,
            "url": self._options.url,
            "seconds": round(time.monotonic() - self._began, 3),
            "refused": self.recorder.refused,
            "instruments": {
                files.instrument: {
                    "book_rows": files.book_rows,
                    "trades": files.trades,
                    "losses": dict(files.losses),
                    "files": [str(path) for path in files.paths],
                }
                for files in self._files
            },
        }

    def summary_lines(self) -> list[str]:
        """Return the summary for a person."""
        lines = [f"recorded for {format_duration(time.monotonic() - self._began)}"]
        for files in self._files:
            said = [f"{n:,} {EVENT_KINDS[kind].label}" for kind, n in files.losses.items()]
            lines += [
                files.instrument,
                f"  recorded  {files.book_rows:,} book rows, {files.trades:,} trades",
                f"  lost      {', '.join(said) or 'nothing'}",
                *(f"  file      {path}" for path in files.paths),
            ]
        return lines


def _check(exchange: str, instruments: Sequence[str], options: RecorderOptions) -> None:
    if exchange not in EXCHANGES:
        msg = f"only {', '.join(EXCHANGES)} can be recorded; found {exchange!r}"
        raise UsageError(msg, "EXCHANGE", exchange)
    for instrument in instruments:
        check_instrument(instrument)
    if len(set(instruments)) > MOST_INSTRUMENTS:
        msg = f"one recorder takes at most {MOST_INSTRUMENTS} instruments; start several"
        raise UsageError(msg, "INSTRUMENT", len(instruments))
    if not options.url.startswith(("ws://", "wss://")):
        msg = f"--url must begin with ws:// or wss://; found {options.url!r}"
        raise UsageError(msg, "--url", options.url)
    if options.seconds is not None and not options.seconds > 0:
        msg = f"--seconds must be above 0; found {options.seconds:g}"
        raise UsageError(msg, "--seconds", options.seconds)
