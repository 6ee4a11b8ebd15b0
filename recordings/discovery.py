"""Find the recordings of an instrument under a data directory, and choose those a range needs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from orderflow.errors import NothingToReplayError, RecordingError
from orderflow.instruments import check_instrument, nearest_first
from recordings.book_kind import RECOGNITION_ROWS, begins_with_snapshot, recognise_book_mode
from recordings.recorded_table import RecordedTable, instruments_in, open_tables
from recordings.table_shape import UNKNOWN_SPAN

SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})
DEFAULT_DATA_DIR = Path(__file__).resolve().parents[2] / "data" / "OKX"

_DATE = r"(?:(?:\d{2}|\d{4})-\d{2}-\d{2}|\d{8})"
# What an exchange calls an instrument, such as BTC-USDT-SWAP or BTC-USD-220527, perhaps dated;
# not a date alone, nor one word and a date: those are recordings of many.
_INSTRUMENT_STEM = re.compile(
    rf"(?!(?:[A-Z0-9]+[-_.])?{_DATE}$)([A-Z0-9]+(?:-[A-Z0-9]+)+?)(?:[-_.]{_DATE})?"
)


@dataclass(frozen=True)
class Recording:
    """The tables that a replay reads, in no particular order, and what their book rows are.

    `book_mode` is `incremental`, `snapshot`, or `action` where an action column says it row by row.
    `first_ms` and `last_ms` bound the rows in the range, as far as the files tell beforehand.
    """

    books: list[RecordedTable]
    trades: list[RecordedTable]
    book_mode: str
    first_ms: int
    last_ms: int


def find_recording(
    instrument: str, data_dir: Path, start_ms: int, end_ms: int, book_mode: str = "auto"
) -> Recording:
    """Find what a replay of `instrument` in `[start_ms, end_ms)` needs under `data_dir`.

    Book files before the range are included as far back as the book at the start depends on them.
    Raise `NothingToReplayError`, saying what is there instead, when there is no file of the
    instrument or none with a row in the range; `RecordingError` for one that can't be used;
    `UsageError` for a name that is no instrument's.
    """
    check_instrument(instrument)
    files = _all_files(data_dir)
    tables = [tables for path in files if (tables := _tables_of(path, instrument))]
    if not tables:
        raise NothingToReplayError(_nothing_found(instrument, data_dir, files))
    books = sorted((book for book, _ in tables if not book.is_empty), key=_span)
    trades = [table for _, table in tables if not table.is_empty]
    in_range = [t for t in (*books, *trades) if t.last_ms >= start_ms and t.first_ms < end_ms]
    if not in_range:
        raise NothingToReplayError(_nothing_in_range(instrument, data_dir, [*books, *trades]))
    needed = _with_warm_up(books, start_ms, end_ms)
    return Recording(
        books=needed,
        trades=[table for table in trades if table in in_range],
        book_mode=_choose_mode(needed) if book_mode == "auto" else book_mode,
        first_ms=max(start_ms, min(table.first_ms for table in in_range)),
        last_ms=min(end_ms, max(table.last_ms for table in in_range)),
    )


def is_named_for(stem: str, instrument: str) -> bool:
    """Tell whether a file's stem is the instrument, or it with a separator and a date."""
    return re.fullmatch(rf"{re.escape(instrument)}(?:[-_.]{_DATE})?", stem) is not None


def _all_files(data_dir: Path) -> list[Path]:
    return sorted(
        path for path in data_dir.rglob("*") if path.suffix in SUFFIXES and path.is_file()
    )


def _tables_of(path: Path, instrument: str) -> tuple[RecordedTable, RecordedTable] | None:
    """Open a file that belongs to the instrument; return None for any other."""
    if is_named_for(path.stem, instrument):
        return open_tables(path, instrument)
    if _INSTRUMENT_STEM.fullmatch(path.stem):
        return None
    try:
        book, trades = open_tables(path, instrument)
    except RecordingError:
        return None  # a file of another kind, or of other instruments: not asked for
    named = [table for table in (book, trades) if table.names_instruments and not table.is_empty]
    return (book, trades) if named else None


def _span(table: RecordedTable) -> tuple[int, int]:
    return table.first_ms, table.last_ms


def _with_warm_up(books: list[RecordedTable], start_ms: int, end_ms: int) -> list[RecordedTable]:
    """Choose the book files of the range and those before it that the book at its start needs."""
    wanted = [i for i, b in enumerate(books) if b.last_ms >= start_ms and b.first_ms < end_ms]
    if not wanted:
        return []
    first = wanted[0]
    while first > 0 and not _begins_with_snapshot(books[first]):
        first -= 1
    return [book for book in books[first:] if book.first_ms < end_ms]


def _begins_with_snapshot(book: RecordedTable) -> bool:
    try:
        return begins_with_snapshot(book.first_updates(RECOGNITION_ROWS))
    except RecordingError:
        return False


def _choose_mode(books: Iterable[RecordedTable]) -> str:
    rows = (row for book in books for row in book.first_updates(2 * RECOGNITION_ROWS))
    try:
        return recognise_book_mode(islice(rows, 2 * RECOGNITION_ROWS))
    except RecordingError:
        return "incremental"


def _nothing_found(instrument: str, data_dir: Path, files: list[Path]) -> str:
    if not data_dir.is_dir():
        return (
            f"no data directory {data_dir}; name the one with your recordings with --data-dir or "
            "ORDERFLOW_DATA_DIR, or try --demo"
        )
    seen: dict[str, tuple[int, int]] = {}
    for path in files:
        for name, span in _instruments_of(path).items():
            known = [t for t in (*seen.get(name, ()), *span) if t]
            seen[name] = (min(known), max(known)) if known else (0, 0)
    if not seen:
        return (
            f"no recording under {data_dir} ({len(files)} database files seen); name another "
            "directory with --data-dir, or try --demo"
        )
    nearest = nearest_first(instrument, seen)
    listed = ", ".join(f"{name} ({_dates(*seen[name])})" for name in nearest[:10])
    more = f" and {len(nearest) - 10} more" if len(nearest) > 10 else ""
    return f"no recording of {instrument} under {data_dir}; found there: {listed}{more}"


def _instruments_of(path: Path) -> dict[str, tuple[int, int]]:
    try:
        found = _INSTRUMENT_STEM.fullmatch(path.stem)
        if not found:
            return instruments_in(path)
        tables = [table for table in open_tables(path, None) if not table.is_empty]
    except RecordingError:
        return {}
    ends = [end for table in tables if _span(table) != UNKNOWN_SPAN for end in _span(table)]
    return {found[1]: (min(ends), max(ends)) if ends else (0, 0)}


def _nothing_in_range(instrument: str, data_dir: Path, tables: list[RecordedTable]) -> str:
    if not tables:
        return f"the recordings of {instrument} under {data_dir} have no rows"
    first, last = min(t.first_ms for t in tables), max(t.last_ms for t in tables)
    return (
        f"no row of {instrument} in the range; the recordings under {data_dir} have "
        f"{_dates(first, last, '%Y-%m-%dT%H:%M')} UTC"
    )


def _dates(first_ms: int, last_ms: int, pattern: str = "%Y-%m-%d") -> str:
    if not last_ms:
        return "no dates"
    ends = [datetime.fromtimestamp(ms / 1000, UTC).strftime(pattern) for ms in (first_ms, last_ms)]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
