"""Export a range of a recording: read it as a replay does, write it whole or not at all."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from db_interpreter import DBInterpreter
from formats.export_target import make_note, written_beside
from formats.market_pass import MarketPass, Passed, PassOptions
from orderflow.errors import RecordingError, UsageError
from recordings.discovery import Recording, find_recording
from recordings.recorder_losses import losses_of

Progress = Callable[[MarketPass, Recording], None]


class Exporter(Protocol):
    """Writes one format. `not_carried` and `notes` are sentences for the report."""

    not_carried: tuple[str, ...]
    notes: list[str]
    counts: dict[str, int]

    def add(self, portion: Passed) -> None:
        """Write the next rows and trades."""

    def finish(self, passed: MarketPass) -> None:
        """Write what is known at the end alone."""


Open = Callable[[Path, dict[str, Any]], AbstractContextManager[Exporter]]
"""Opens an exporter that writes to a path; the note says what the export is of."""


@dataclass(frozen=True)
class ExportFormat:
    """A format by name: what the pass over the recording must keep for it, and how it is opened."""

    name: str
    open: Open
    row_levels: bool = False
    levels: int = 0
    all_bars: bool = False
    suffix: str = ""
    """What the name of the file must end in, for those who read it go by that."""
    after: Callable[[Path], str | None] = lambda _into: None
    """What is done where the export stands in its place; what it returns is a note."""


@dataclass
class Exported:
    """What was exported, and what was found wrong with the recording on the way.

    `failure` says why the recording could be read up to a place alone.
    """

    into: Path
    format: str
    summary: dict[str, Any]
    not_carried: tuple[str, ...]
    notes: list[str]
    counts: dict[str, int]
    recorder_losses: dict[str, int]
    bytes: int
    seconds: float
    failure: str = ""
    advice: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "into": str(self.into),
            "format": self.format,
            "state": "failed" if self.failure else "finished",
            "reason": self.failure or None,
            **self.summary,
            "recorder_losses": self.recorder_losses,
            "exported": self.counts,
            "not_carried": list(self.not_carried),
            "notes": self.notes,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.summary["rows"] / self.seconds) if self.seconds else 0,
        }


def export(
    form: ExportFormat,
    options: PassOptions,
    data_dir: Path,
    into: Path,
    book_mode: str = "auto",
    progress: Progress = lambda _passed, _recording: None,
) -> Exported:
    """Export what `options` ask for of the recordings under `data_dir` to `into`.

    A recording that can't be read to its end is exported up to there, which `failure` says. Raise
    `NothingToReplayError` or `RecordingError` as `find_recording` does, `UsageError` for a target
    that is something else, and `OutputError` for one that can't be written.
    """
    began = time.perf_counter()
    if not into.name.endswith(form.suffix):
        msg = f"{form.name} reads files named *{form.suffix}; found --into {into}"
        raise UsageError(msg, "--into", into)
    start, end = options.start_ms or 0, options.end_ms or 0
    options = replace(
        options, row_levels=form.row_levels, levels=form.levels, all_bars=form.all_bars
    )
    recording = find_recording(options.instrument, data_dir, start, end, book_mode)
    reader = DBInterpreter.of_tables(
        recording.books, recording.trades, start, end, recording.book_mode
    )
    passed, failure = MarketPass(reader, options), ""
    note = make_note(form.name, options.instrument, start, end)
    with written_beside(into, note) as temporary, form.open(temporary, note) as exporter:
        try:
            for portion in passed.portions():
                exporter.add(portion)
                progress(passed, recording)
        except RecordingError as error:
            failure = str(error)
            passed.processor.finalize()
        exporter.finish(passed)
    if note_after := form.after(into):
        exporter.notes.append(note_after)
    tables = (*recording.books, *recording.trades)
    return Exported(
        into,
        form.name,
        passed.summary(),
        exporter.not_carried,
        exporter.notes,
        exporter.counts,
        losses_of(sorted({table.path for table in tables}), tables[0].instrument, start, end),
        _bytes_in(into),
        time.perf_counter() - began,
        failure,
        reader.late_advice,
    )


def _bytes_in(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
