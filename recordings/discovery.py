"""Find the recordings of an instrument under a data directory, and choose those a range needs."""

import logging
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orderflow.errors import NothingToReplayError, RecordingError
from orderflow.instruments import check_instrument, nearest_first
from orderflow.times import format_dates, format_range
from recordings.book_kind import begins_with_snapshot
from recordings.connection import UnreadableError
from recordings.recorded_table import RecordedTable, instruments_in, open_tables
from recordings.search import FoundFiles, find_files, instrument_of, is_named_for
from recordings.table_shape import UNKNOWN_SPAN

logger = logging.getLogger(__name__)

DEFAULT_DATA_DIR = Path(__file__).resolve().parents[2] / "data" / "OKX"
HOLE_MS = 60_000
"""Recordings that leave out no longer than this of a range are taken for all there is of it."""


class BookMode(StrEnum):
    """What book rows without an action are."""

    AUTO = "auto"
    INCREMENTAL = "incremental"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True)
class Recording:
    """The tables that a replay reads, in no particular order, and what their book rows are.

    `book_mode` is as asked for: `incremental`, `snapshot`, or `auto` to find out.
    `first_ms` and `last_ms` bound the rows in the range, as far as the files tell beforehand.
    """

    books: list[RecordedTable]
    trades: list[RecordedTable]
    book_mode: str
    first_ms: int
    last_ms: int

    @property
    def begins_whole(self) -> bool:
        """Return whether no book row before the first of these matters to the book."""
        first = min(self.books, key=_span, default=None)
        return first is None or begins_with_snapshot(first)


def find_recording(
    instrument: str, data_dir: Path, start_ms: int, end_ms: int, book_mode: str = "auto"
) -> Recording:
    """Find what a replay of `instrument` in `[start_ms, end_ms)` needs under `data_dir`.

    `data_dir` may be a file, which is then the only one used. A name that differs from the recorded
    one in upper and lower case alone is taken for it, which is logged. Book files before the range
    are included as far back as the book at the start depends on them.

    Raise `NothingToReplayError`, saying what is there instead, when there is no file of the
    instrument or none with a row in the range; `RecordingError` for one that can't be used, and for
    what can't be looked into unless the rest covers the range; `UsageError` for a name that is no
    instrument's.
    """
    check_instrument(instrument)
    return open_recordings(instrument, find_files(data_dir), data_dir).of_range(
        start_ms, end_ms, book_mode
    )


@dataclass(frozen=True)
class OpenedRecordings:
    """All tables of an instrument that were found, to choose from what a range needs.

    `hidden` are errors of what could not be looked into, `data_dir` is where it was looked.
    """

    instrument: str
    books: list[RecordedTable]
    trades: list[RecordedTable]
    hidden: list[RecordingError]
    data_dir: Path

    def of_range(self, start_ms: int, end_ms: int, book_mode: str = "auto") -> Recording:
        """Return what a replay of `[start_ms, end_ms)` needs; raise as `find_recording` does."""
        books, trades = self.books, self.trades
        of_range = [
            table
            for table, last_ms in (*_reaches(books), *_reaches(trades))
            if last_ms >= start_ms and table.first_ms < end_ms
        ]
        _check_hidden(self.hidden, of_range, start_ms, end_ms)
        if not of_range:
            why = _nothing_in_range(self.instrument, self.data_dir, [*books, *trades])
            raise NothingToReplayError(why, self.instrument, self.data_dir)
        needed = _with_warm_up(books, of_range, end_ms)
        return Recording(
            books=needed,
            trades=[table for table in trades if table in of_range],
            book_mode=book_mode,
            first_ms=max(start_ms, min(table.first_ms for table in of_range)),
            last_ms=min(end_ms, max(table.last_ms for table in of_range)),
        )


def open_recordings(instrument: str, found: FoundFiles, data_dir: Path) -> OpenedRecordings:
    """Open the files of `instrument` among those found; raise as `find_recording` does."""
    check_instrument(instrument)
    tables = _open_all(found, instrument)
    if not tables and (recorded := _in_other_case(instrument, data_dir, found.files)):
        logger.warning("no recording of %s; %s is replayed", instrument, recorded)
        instrument, tables = recorded, _open_all(found, recorded)
    if not tables:
        _check_hidden(found.hidden, [], 0, 1)
        why = _nothing_found(instrument, data_dir, found)
        raise NothingToReplayError(why, instrument, data_dir)
    books = sorted((book for book, _ in tables if not book.is_empty), key=_span)
    trades = sorted((table for _, table in tables if not table.is_empty), key=_span)
    return OpenedRecordings(instrument, books, trades, found.hidden, data_dir)


def _open_all(found: FoundFiles, instrument: str) -> list[tuple[RecordedTable, RecordedTable]]:
    """Open the files that belong to the instrument; those that may and cannot be are hidden."""
    opened = []
    for path in found.files:
        try:
            tables = tables_of(path, instrument, is_outright=found.is_outright)
        except UnreadableError as error:
            if found.is_outright or is_named_for(path.stem, instrument):
                raise
            found.hide(error)
            continue
        if tables:
            opened.append(tables)
    return opened


def tables_of(
    path: Path, instrument: str, *, is_outright: bool
) -> tuple[RecordedTable, RecordedTable] | None:
    """Open a file that belongs to the instrument; return None for any other.

    Raise `RecordingError` for one that belongs to it and cannot be used.
    """
    if is_named_for(path.stem, instrument):
        return open_tables(path, instrument)
    if instrument_of(path.stem):
        return None
    try:
        tables = open_tables(path, instrument)
    except RecordingError as error:
        if is_outright or isinstance(error, UnreadableError):
            raise
        logger.info("left out: %s", error)  # of another kind: not asked for
        return None
    named = [table for table in tables if table.names_instruments]
    if is_outright and not named:
        return tables
    return tables if any(not table.is_empty for table in named) else None


def _span(table: RecordedTable) -> tuple[int, int]:
    return table.first_ms, table.last_ms


def _reaches(tables: list[RecordedTable]) -> list[tuple[RecordedTable, int]]:
    """Return sorted tables with the ms up to which each may have had rows.

    Of a damaged one the end may be what is lost: it is taken to reach up to the next one.
    """
    nexts = [*(table.first_ms for table in tables[1:]), UNKNOWN_SPAN[1]]
    return [
        (table, max(table.last_ms, next_ms) if table.damage else table.last_ms)
        for table, next_ms in zip(tables, nexts, strict=False)
    ]


def _check_hidden(
    hidden: list[RecordingError], of_range: list[RecordedTable], start_ms: int, end_ms: int
) -> None:
    """Raise `RecordingError` where something is hidden that the range may need."""
    if not hidden or _cover(of_range, start_ms, end_ms):
        return
    more = f", and {len(hidden) - 1} more like it" if len(hidden) > 1 else ""
    msg = (
        f"{hidden[0]}{more}, and the recordings found elsewhere do not cover the range; make it "
        "readable, or name another directory with --data-dir"
    )
    raise RecordingError(msg, hidden[0].path)


def _cover(tables: list[RecordedTable], start_ms: int, end_ms: int) -> bool:
    """Return whether there are trades, and books that leave out no more than `HOLE_MS`.

    Trades may be far apart without anything missing, so that their times prove nothing.
    """
    if not any(table.name == "trades" for table in tables):
        return False
    reached = start_ms
    for first_ms, last_ms in sorted(_span(table) for table in tables if table.name == "book"):
        if first_ms > reached + HOLE_MS:
            return False
        reached = max(reached, last_ms)
    return reached >= end_ms - HOLE_MS


def _with_warm_up(
    books: list[RecordedTable], of_range: list[RecordedTable], end_ms: int
) -> list[RecordedTable]:
    """Choose the book files of the range and those before it that the book at its start needs."""
    wanted = [number for number, book in enumerate(books) if book in of_range]
    if not wanted:
        return []
    first = wanted[0]
    while first > 0 and not begins_with_snapshot(books[first]):
        first -= 1
    return [book for book in books[first:] if book.first_ms < end_ms]


def _in_other_case(instrument: str, data_dir: Path, files: list[Path]) -> str | None:
    """Return the one recorded name that differs from `instrument` in upper and lower case alone.

    None where there is none; raise `NothingToReplayError` where there are several.
    """
    wanted = instrument.upper()
    names: set[str] = set()
    for path in files:
        if is_named_for(path.stem.upper(), wanted):
            names.add(path.stem[: len(instrument)])
        elif not instrument_of(path.stem):
            names |= {name for name in _instruments_of(path) if name.upper() == wanted}
    if len(names) > 1:
        msg = (
            f"no recording of {instrument} under {data_dir}, but of {' and '.join(sorted(names))}; "
            "write the one you mean as it is recorded"
        )
        raise NothingToReplayError(msg, instrument, data_dir)
    return next(iter(names), None)


def _nothing_found(instrument: str, data_dir: Path, found: FoundFiles) -> str:
    seen: dict[str, tuple[int, int]] = {}
    for path in found.files:
        for name, span in _instruments_of(path).items():
            known = [t for t in (*seen.get(name, ()), *span) if t]
            seen[name] = (min(known), max(known)) if known else (0, 0)
    if not seen:
        importer = "uv run -m formats import FILE… --into DIR"
        others = f"; {importer} takes archives, other files here: {len(found.others):,}"
        return (
            f"no recording under {data_dir} ({len(found.files)} database files "
            f"seen{others if found.others else ''}); name another directory with --data-dir, or "
            "try --demo"
        )
    nearest = nearest_first(instrument, seen)
    listed = ", ".join(f"{name} ({_days(*seen[name])})" for name in nearest[:10])
    more = f" and {len(nearest) - 10} more" if len(nearest) > 10 else ""
    return f"no recording of {instrument} under {data_dir}; found there: {listed}{more}"


def _instruments_of(path: Path) -> dict[str, tuple[int, int]]:
    try:
        name = instrument_of(path.stem)
        if not name:
            return instruments_in(path)
        tables = [table for table in open_tables(path, None) if not table.is_empty]
    except RecordingError:
        return {}
    ends = [end for table in tables if _span(table) != UNKNOWN_SPAN for end in _span(table)]
    return {name: (min(ends), max(ends)) if ends else (0, 0)}


def _nothing_in_range(instrument: str, data_dir: Path, tables: list[RecordedTable]) -> str:
    if not tables:
        return f"the recordings of {instrument} under {data_dir} have no rows"
    first, last = min(t.first_ms for t in tables), max(t.last_ms for t in tables)
    return (
        f"no row of {instrument} in the range; the recordings under {data_dir} have "
        f"{format_range(first, last)} UTC"
    )


def _days(first_ms: int, last_ms: int) -> str:
    return format_dates(first_ms, last_ms) if last_ms else "no dates"
