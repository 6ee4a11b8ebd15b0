"""List what recordings hold: instruments, tables, spans, what their book rows are."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from level_parser import parse_side
from orderflow.errors import LevelFormatError, NothingToReplayError, RecordingError
from orderflow.instruments import nearest_first
from recordings.book_kind import RECOGNITION_ROWS, recognise_book_mode
from recordings.recorded_table import RecordedTable, open_tables
from recordings.row_order import Row
from recordings.search import find_files, instrument_of
from recordings.table_shape import UNKNOWN_SPAN
from recordings.table_spec import BOOK


@dataclass(frozen=True)
class ListedTable:
    """What a table holds of one instrument.

    `first_ms` and `last_ms` are None where no timestamp at either end is usable. Of a book, `kind`
    is what its rows are, `action`, `snapshot` or `incremental`, and `levels` the median number of
    levels in its first rows, both sides together. `damage` says why rows may be missing.
    """

    name: str
    rows: int
    first_ms: int | None
    last_ms: int | None
    indexed: bool
    damage: str | None
    kind: str | None = None
    levels: int | None = None


@dataclass(frozen=True)
class ListedRecording:
    """One instrument in one file; `instrument` is None where neither name nor column says it."""

    path: Path
    instrument: str | None
    tables: list[ListedTable]


@dataclass(frozen=True)
class Listing:
    """What was found, and the files that are no recordings or cannot be read, with the reason."""

    recordings: list[ListedRecording]
    left_out: list[RecordingError]


def list_recordings(data_dir: Path, name: str | None = None) -> Listing:
    """List the recordings under `data_dir`, or in that file; with `name` those of one instrument.

    Where no instrument has the name as it is, one that differs in upper and lower case alone is
    taken. Raise `NothingToReplayError` when there is none, naming the nearest.
    """
    found = find_files(data_dir)
    recordings: list[ListedRecording] = []
    left_out = list(found.hidden)
    for path in found.files:
        try:
            recordings += _recordings_in(path)
        except RecordingError as error:
            left_out.append(error)
    if not recordings and not left_out:
        msg = f"no database file under {data_dir}; name another directory with --data-dir"
        raise NothingToReplayError(msg, None, data_dir)
    return Listing(recordings if name is None else _named(name, recordings, data_dir), left_out)


def rows_by_instrument(path: Path) -> dict[str | None, dict[str, int]]:
    """Count the rows of a recording by instrument and table, those without a usable time included.

    Where no column names the instrument, the file's name does, or it is None. Raise
    `RecordingError` for a file that is no recording.
    """
    counts: dict[str | None, dict[str, int]] = {}
    for table in open_tables(path, ""):
        for column, rows, *_ in table.count_by_instrument():
            name = column if table.names_instruments else instrument_of(path.stem)
            counts.setdefault(name, {})[table.name] = rows
    return counts or {instrument_of(path.stem): {}}


def _recordings_in(path: Path) -> Iterator[ListedRecording]:
    for name, rows in rows_by_instrument(path).items():
        tables = open_tables(path, name)
        listed = [_listed(t, rows[t.name]) for t in tables if rows.get(t.name)]
        yield ListedRecording(path, name, listed)


def _listed(table: RecordedTable, rows: int) -> ListedTable:
    kind = levels = None
    if table.name == BOOK.name:
        first: list[Row] = []
        with suppress(RecordingError):  # what came before is taken; `damage` or a check says it
            first.extend(table.first_rows(RECOGNITION_ROWS))
        kind, levels = recognise_book_mode(first), _median_levels(first)
    unknown = (table.first_ms, table.last_ms) == UNKNOWN_SPAN
    return ListedTable(
        table.name,
        rows,
        None if unknown else table.first_ms,
        None if unknown else table.last_ms,
        table.is_indexed,
        table.damage,
        kind,
        levels,
    )


def _median_levels(rows: list[Row]) -> int | None:
    counts = []
    for row in rows:
        with suppress(LevelFormatError):  # of such a row there is nothing to count
            counts.append(sum(len(parse_side(side)[0]) for side in row[2:4]))
    return sorted(counts)[len(counts) // 2] if counts else None


def _named(name: str, recordings: list[ListedRecording], data_dir: Path) -> list[ListedRecording]:
    exact = [r for r in recordings if r.instrument == name]
    chosen = exact or [r for r in recordings if (r.instrument or "").upper() == name.upper()]
    if chosen:
        return chosen
    nearest = nearest_first(name, {r.instrument for r in recordings if r.instrument})[:10]
    there = f"nearest are {', '.join(nearest)}" if nearest else "no instrument is named there"
    msg = f"no recording of {name} under {data_dir}; {there}"
    raise NothingToReplayError(msg, name, data_dir)
