import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from places import REAL_DATA
from recording_factory import (
    BY_INSTRUMENT_AND_TIMESTAMP,
    BY_TIMESTAMP,
    DAY,
    ID_OF_ITS_OWN,
    START,
    BookRow,
    TradeRow,
    book_rows,
    change,
    events,
    expected_events,
    prices_of,
    query,
    random_of,
    random_times,
    settle,
    shuffled_within,
    small_batches,
    times_of,
    trade_rows,
    write_recording,
)

import db_interpreter
from db_interpreter import DBInterpreter
from orderflow.errors import RecordingError
from recordings import windows
from recordings.discovery import find_recording
from recordings.recorded_table import RecordedTable, instruments_in
from recordings.table_spec import BOOK
from replay.run import Replay, ReplayOptions
from replay.run_files import RunFiles

INDEXES = [(), BY_TIMESTAMP]
BATCH = REORDER = 200
ROWS = 3 * REORDER


@pytest.fixture(autouse=True)
def small_recordings_have_many_batches() -> Iterator[None]:
    with small_batches(BATCH, REORDER):
        yield


def renumbered(rows: list[BookRow]) -> list[BookRow]:
    """Number rows as they lie, as an id that is the rowid has to be."""
    return [row._replace(id=number) for number, row in enumerate(rows, 1)]


def in_sql_order(path: Path, tie: str = "id") -> list[tuple[Any, ...]]:
    sql = f"SELECT timestamp, CAST(bids AS BLOB) FROM book ORDER BY timestamp, {tie}"
    return query(path, sql)


def read_in_order(path: Path, instrument: str | None = None) -> list[tuple[Any, ...]]:
    found, counts = events(path, instrument)
    assert (counts.late_rows, counts.rows_skipped, counts.repeated_rows) == (0, 0, 0)
    return [(event.timestamp, event.bids) for event in found]


# -- order


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("index", [(), BY_TIMESTAMP, ("timestamp, bids",), ("timestamp DESC",)])
def test_rows_shuffled_within_the_buffer_come_out_as_sql_orders_them(
    tmp_path: Path, index: tuple[str, ...], settled: bool
) -> None:
    rows = renumbered(shuffled_within(book_rows(random_times(1, ROWS)), REORDER))
    path = write_recording(tmp_path / "a.db", rows, None, index=index, settled=settled)
    assert read_in_order(path) == in_sql_order(path)


@pytest.mark.parametrize("index", INDEXES)
def test_ties_are_ordered_by_an_id_that_is_not_the_rowid(
    tmp_path: Path, index: tuple[str, ...]
) -> None:
    rows = shuffled_within(book_rows(random_times(2, ROWS)), REORDER)
    path = write_recording(tmp_path / "a.db", rows, None, index=index, id_column=ID_OF_ITS_OWN)
    assert query(path, "SELECT 1 FROM book WHERE id <> rowid LIMIT 1")
    assert read_in_order(path) == in_sql_order(path)


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize(
    ("id_column", "table_end"),
    [
        ("id INTEGER PRIMARY KEY DESC, ", ")"),
        ("id INTEGER, ", ", PRIMARY KEY (id, bids))"),
        ("rowid TEXT, id INTEGER, ", ")"),
        ("id INTEGER, oid INTEGER, rowid INTEGER, ", ")"),
    ],
)
def test_an_id_that_only_looks_like_the_rowid_orders_ties_all_the_same(
    tmp_path: Path, index: tuple[str, ...], id_column: str, table_end: str
) -> None:
    rows = shuffled_within(book_rows(random_times(3, ROWS)), REORDER)
    path = write_recording(
        tmp_path / "a.db", rows, None, index=index, id_column=id_column, table_end=table_end
    )
    assert read_in_order(path) == in_sql_order(path)


def test_ties_are_ordered_as_they_lie_where_ids_are_no_integers(tmp_path: Path) -> None:
    rows = [BookRow(None, START, str(number)) for number in range(50)]
    path = write_recording(tmp_path / "a.db", rows, None, id_column="id TEXT, ")
    change(path, "UPDATE book SET id = 'x' || (1000 - rowid)")
    assert read_in_order(path) == in_sql_order(path, "rowid")


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize(
    ("key", "index"),
    [
        ("id", ()),
        ("id", BY_TIMESTAMP),
        ("id", ("timestamp, bids",)),
        ("timestamp, id", ()),
        ("instrument, timestamp, id", ()),
        ("instrument, id", ()),
    ],
)
def test_tables_without_rowid_are_read_along_their_primary_key(
    tmp_path: Path, key: str, index: tuple[str, ...], settled: bool
) -> None:
    rows = shuffled_within(book_rows(random_times(4, ROWS)), REORDER)
    if key.endswith("timestamp, id"):
        rows = [row._replace(id=row.id % 7 + row.timestamp) for row in rows if row.id]
        rows = list({(row.timestamp, row.id): row for row in rows}.values())
    path = write_recording(
        tmp_path / "a.db",
        rows,
        None,
        instrument="A-B",
        index=index,
        id_column="id INTEGER, ",
        table_end=f", PRIMARY KEY ({key})) WITHOUT ROWID",
        settled=settled,
    )
    if key == "id" and not index:
        # Along the key the rows must be nearly in time order.
        change(path, "UPDATE book SET timestamp = timestamp + (id * 7919) % 50")
    assert read_in_order(path, "A-B") == in_sql_order(path)


@pytest.mark.parametrize("key", ["bids", "id, timestamp", "timestamp, bids, id", "timestamp"])
def test_a_table_whose_rows_id_does_not_tell_apart_is_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "a.db"
    end = f", PRIMARY KEY ({key})) WITHOUT ROWID"
    write_recording(path, [], None, id_column="id INTEGER, ", table_end=end)
    with pytest.raises(RecordingError, match="WITHOUT ROWID and its primary key") as caught:
        DBInterpreter(path)
    assert f"({key}) is neither (id) nor (timestamp, id)" in str(caught.value)
    assert "copy its rows into a table with an INTEGER PRIMARY KEY id" in str(caught.value)


def test_a_table_with_the_newest_row_first_is_read_from_its_end(tmp_path: Path) -> None:
    rows = renumbered(book_rows(random_times(5, ROWS))[::-1])
    path = write_recording(tmp_path / "a.db", rows, None)
    assert read_in_order(path) == in_sql_order(path)


@pytest.mark.parametrize("newest_block_first", [True, False])
def test_blocks_with_the_newest_row_first_are_put_right(
    tmp_path: Path, newest_block_first: bool
) -> None:
    rows = book_rows(random_times(6, ROWS))
    blocks = [rows[begin : begin + 60][::-1] for begin in range(0, ROWS, 60)]
    if newest_block_first:
        blocks = [block[::-1] for block in blocks[::-1]]
    lying = renumbered([row for block in blocks for row in block])
    path = write_recording(tmp_path / "a.db", lying, None)
    assert read_in_order(path) == in_sql_order(path)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("index", INDEXES)
def test_a_timestamp_with_more_rows_than_a_batch_loses_none(
    tmp_path: Path, index: tuple[str, ...], settled: bool
) -> None:
    times = [START] * 10 + [START + 1] * (2 * BATCH + 7) + [START + 2] * BATCH
    path = write_recording(tmp_path / "a.db", book_rows(times), None, index=index, settled=settled)
    assert read_in_order(path) == in_sql_order(path)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize(
    "index", [BY_TIMESTAMP, BY_INSTRUMENT_AND_TIMESTAMP, ("instrument", "timestamp")]
)
def test_with_an_index_on_the_timestamp_rows_may_lie_anyhow(
    tmp_path: Path, index: tuple[str, ...], settled: bool
) -> None:
    rows = book_rows(random_times(7, ROWS))
    random_of(7).shuffle(rows)
    path = write_recording(
        tmp_path / "a.db", renumbered(rows), None, instrument="A-B", index=index, settled=settled
    )
    assert read_in_order(path, "A-B") == in_sql_order(path)


def late_by_buffer(tmp_path: Path, settled: bool = True) -> Path:
    """Write a recording whose first two rows lie at its end, much too late."""
    rows = book_rows(range(START + 10, START + 10 + ROWS)) + book_rows([START + 1, START + 2])
    trades = trade_rows([START])
    return write_recording(tmp_path / "BTC-USDT.db", renumbered(rows), trades, settled=settled)


@pytest.mark.parametrize("settled", [True, False])
def test_rows_later_than_the_buffer_are_left_out_and_counted(tmp_path: Path, settled: bool) -> None:
    path = late_by_buffer(tmp_path, settled)
    found, counts = events(path)
    assert counts.late_rows == 2
    assert len(found) == ROWS + 1
    assert times_of(found) == sorted(times_of(found))


def test_late_rows_are_counted_once_however_often_a_table_is_looked_at(tmp_path: Path) -> None:
    interpreter = DBInterpreter(late_by_buffer(tmp_path))
    for _ in range(2):
        assert len(list(interpreter.stream())) == ROWS + 1
        assert interpreter.counts.late_rows == 2
        (table,) = interpreter.books
        assert table.late == 2
        assert len(list(table.first_rows(5))) == 5


def test_the_index_that_puts_late_rows_right_is_named_and_does(tmp_path: Path) -> None:
    path = late_by_buffer(tmp_path)
    recording = find_recording("BTC-USDT", tmp_path, START, START + DAY)
    options = ReplayOptions("BTC-USDT", START, START + DAY)
    with closing(RunFiles(tmp_path / "out")) as files:
        run = Replay(options, recording, files)
        assert run.run() == "finished"
    assert run.issues.counts()["late_rows"] == 2
    (advice,) = run.late_advice
    assert advice.startswith(f"{path}: 2 rows of book are further out of order")
    statement = "CREATE INDEX book_timestamp ON book(timestamp)"
    assert statement in advice
    change(path, statement)
    assert read_in_order(path)[1:] == in_sql_order(path)


# -- formats of time


def iso(ms: int, form: str) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime(form)


FORMATS: dict[str, tuple[str, Any]] = {
    "s": ("INTEGER", lambda ms: ms // 1000),
    "ms": ("INTEGER", lambda ms: ms),
    "us": ("INTEGER", lambda ms: ms * 1000),
    "ns": ("INTEGER", lambda ms: ms * 1_000_000),
    "real s": ("REAL", lambda ms: ms / 1000),
    "real ms": ("REAL", float),
    "text ms": ("TEXT", str),
    "text s": ("TEXT", lambda ms: f"{ms / 1000:.3f}"),
    "iso": ("TEXT", lambda ms: iso(ms, "%Y-%m-%dT%H:%M:%S.%f")),
    "iso with a space": ("TEXT", lambda ms: iso(ms, "%Y-%m-%d %H:%M:%S.%f")),
    "iso of Z": ("TEXT", lambda ms: iso(ms, "%Y-%m-%dT%H:%M:%S.%fZ")),
    "iso of a zone": ("TEXT", lambda ms: iso(ms + 7_200_000, "%Y-%m-%dT%H:%M:%S.%f+02:00")),
    "untyped ms": ("", lambda ms: ms),
}


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_of_time_gives_the_same_events(
    tmp_path: Path, form: str, index: tuple[str, ...], settled: bool
) -> None:
    time_type, written = FORMATS[form]
    unit = 1000 if form == "s" else 1
    times = [START + unit * (ms - START) for ms in random_times(8, BATCH + 100, 700)]
    book, trades = book_rows(times), trade_rows(times[::3])
    path = write_recording(
        tmp_path / "a.db",
        [row._replace(timestamp=written(row.timestamp)) for row in book],
        [row._replace(timestamp=written(row.timestamp)) for row in trades],
        index=index,
        time_type=time_type,
        settled=settled,
    )
    assert events(path)[0] == expected_events(book, trades)


@pytest.mark.parametrize("index", INDEXES)
def test_mixed_formats_of_time_give_the_same_events(tmp_path: Path, index: tuple[str, ...]) -> None:
    times = [START + 1000 * (ms - START) for ms in random_times(9, 2 * ROWS)]
    written = [form for _, form in FORMATS.values()]
    book = book_rows(times)
    mixed = [row._replace(timestamp=written[(row.id or 0) % 13](row.timestamp)) for row in book]
    path = write_recording(tmp_path / "a.db", mixed, None, index=index, time_type="")
    assert events(path)[0] == expected_events(book, [])


@pytest.mark.parametrize("index", INDEXES)
def test_a_change_of_unit_in_mid_file_is_followed(tmp_path: Path, index: tuple[str, ...]) -> None:
    times = range(START, START + 1000 * 2 * ROWS, 1000)
    book = book_rows(times)
    changed = [
        row._replace(timestamp=row.timestamp // (1000 if (row.id or 0) > ROWS else 1))
        for row in book
    ]
    path = write_recording(tmp_path / "a.db", changed, None, index=index)
    assert events(path)[0] == expected_events(book, [])
    table = RecordedTable(path, BOOK)
    assert (table.first_ms, table.last_ms) == (times[0], times[-1])


GARBAGE = [None, "", "n/a", "\x00", -5, -1.5, b"blob", b"\xff\x00", 1e300]


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("form", ["ms", "real s", "text ms", "iso"])
def test_garbage_for_a_time_is_skipped_and_counted_the_same_with_and_without_an_index(
    tmp_path: Path, form: str, index: tuple[str, ...], settled: bool
) -> None:
    time_type, written = FORMATS[form]
    book = book_rows(random_times(10, ROWS))
    rows = [row._replace(timestamp=written(row.timestamp)) for row in book]
    for number, raw in enumerate(GARBAGE):
        rows[50 * number : 50 * number] = [BookRow(None, raw)] * 20
    *garbage, good = trade_rows([*GARBAGE, START])
    path = write_recording(
        tmp_path / "a.db",
        [row._replace(id=None) for row in rows],
        [*garbage, good._replace(timestamp=written(START))],
        index=index,
        time_type=time_type,
        settled=settled,
    )
    found, counts = events(path)
    assert found == expected_events(book, [good])
    assert counts.rows_skipped == 20 * len(GARBAGE)
    assert counts.trades_skipped == len(GARBAGE)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"blob", "\ud800".encode(errors="surrogatepass")])
def test_pages_of_garbage_for_a_time_come_to_an_end(
    tmp_path: Path, garbage: bytes, settled: bool
) -> None:
    path = write_recording(tmp_path / "a.db", [], None, index=BY_TIMESTAMP, time_type="TEXT")
    with sqlite3.connect(path) as connection:
        text = "CAST(? AS TEXT)" if garbage != b"blob" else "?"
        sql = f"INSERT INTO book(timestamp, bids) VALUES ({text}, '[]')"
        connection.executemany(sql, [(garbage,)] * (3 * BATCH))
    connection.close()
    if settled:
        settle(path)
    interpreter = DBInterpreter(path)
    with pytest.raises(RecordingError, match="no row of table book has a usable timestamp; found"):
        list(interpreter.stream())
    assert interpreter.counts.rows_skipped == 3 * BATCH


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize(
    ("raw", "shown"), [("09.06.2025 12:30", "'09.06.2025 12:30'"), (-5, "-5"), (None, "NULL")]
)
def test_a_table_without_a_usable_time_is_told_with_a_value_and_what_is_understood(
    tmp_path: Path, raw: object, shown: str, index: tuple[str, ...]
) -> None:
    path = write_recording(
        tmp_path / "a.db", book_rows([START]), trade_rows([None, raw]), index=index
    )
    windows = DBInterpreter(path).stream()
    assert next(windows)[0].timestamp == START
    with pytest.raises(RecordingError) as caught:
        next(windows)
    assert str(caught.value) == (
        f"{path}: no row of table trades has a usable timestamp; found {shown}; understood are s, "
        "ms, µs or ns since 1970 as a number or as text, and ISO-8601 text such as "
        "2025-06-09T12:30:00Z"
    )


def test_a_table_whose_rows_are_all_too_large_has_no_fault_in_its_times(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]), trade_rows([START]))
    change(path, "UPDATE trades SET side = zeroblob(9000000)")
    found, counts = events(path)
    assert (len(found), counts.trades_skipped) == (1, 1)


# -- the range, and tables that are not there


@pytest.mark.parametrize("index", INDEXES)
def test_book_rows_before_the_range_come_out_and_none_from_its_end_on(
    tmp_path: Path, index: tuple[str, ...]
) -> None:
    book = book_rows([START - 5, START, START + 10, START + 20, START + 21])
    trades = trade_rows([START - 6, START - 1, START, START + 19, START + 20, START + 30])
    path = write_recording(tmp_path / "a.db", book, trades, index=index)
    found, counts = events(path, start_ms=START, end_ms=START + 20)
    assert times_of(found) == [START - 5, START, START + 10]
    assert [trade[4] for event in found for trade in event.trades] == [START, START + 19]
    assert counts == db_interpreter.ReadCounts()


def test_trades_of_the_range_reach_into_the_window_of_a_row_before_it(tmp_path: Path) -> None:
    path = write_recording(
        tmp_path / "a.db", book_rows([START - 5]), trade_rows([START, START + 1])
    )
    found, _ = events(path, start_ms=START + 1)
    assert [(event.timestamp, len(event.trades)) for event in found] == [(START - 5, 1)]


@pytest.mark.parametrize("book", [None, []])
def test_trades_without_a_book_all_come_out(tmp_path: Path, book: list[BookRow] | None) -> None:
    trades = trade_rows([START, START, START + 5])
    path = write_recording(tmp_path / "a.db", book, trades)
    assert events(path)[0] == expected_events([], trades)


@pytest.mark.parametrize("trades", [None, []])
def test_a_book_without_trades_comes_out(tmp_path: Path, trades: list[TradeRow] | None) -> None:
    book = book_rows([START, START + 1])
    path = write_recording(tmp_path / "a.db", book, trades)
    assert events(path)[0] == expected_events(book, [])


def test_a_file_with_neither_table_is_no_recording(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", None, None)
    with pytest.raises(RecordingError, match="neither a table book nor a table trades"):
        DBInterpreter(path)


def test_every_trade_of_a_long_window_comes_out_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "WINDOW_TRADES", 300)
    trades = trade_rows(START + number // 10 for number in range(1000))
    path = write_recording(tmp_path / "a.db", book_rows([START]), trades)
    assert prices_of(events(path)[0]) == [trade.price for trade in trades]


def test_repeated_trades_are_skipped_and_equal_ones_without_an_id_are_not(tmp_path: Path) -> None:
    trades = [
        TradeRow(1, START, "a"),
        TradeRow(2, START, "a"),
        TradeRow(3, START, "a", price=7.0),
        TradeRow(4, START),
        TradeRow(5, START),
        TradeRow(6, START + 1, "a"),
    ]
    path = write_recording(tmp_path / "a.db", None, trades)
    interpreter = DBInterpreter(path)
    ((_, found),) = interpreter.stream()
    assert [trade[0] for trade in found] == [1, 3, 4, 5, 6]
    assert interpreter.counts.repeated_trades == 1


def test_streaming_again_gives_the_same_again(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]), trade_rows([START, None]))
    interpreter = DBInterpreter(path)
    assert list(interpreter.stream()) == list(interpreter.stream()) != []
    assert interpreter.counts.trades_skipped == 1


# -- columns and tables


def test_rows_of_other_instruments_are_not_read(tmp_path: Path) -> None:
    path = write_recording(
        tmp_path / "a.db", book_rows([START, START + 1]), trade_rows([START]), instrument="A-B"
    )
    change(path, "UPDATE book SET instrument = 'C-D', timestamp = timestamp - 9 WHERE id = 2")
    assert times_of(events(path, "A-B")[0]) == [START]
    assert times_of(events(path, "C-D")[0]) == [START - 8]
    assert events(path, "E-F")[0] == []
    assert instruments_in(path) == {"A-B": (START, START), "C-D": (START - 8, START - 8)}


def test_sequence_and_action_are_read_where_they_are_recorded(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START, START + 1]), None)
    change(
        path,
        *(f"ALTER TABLE book ADD COLUMN {c}" for c in ("action", "seq_id", "prev_seq_id")),
        "UPDATE book SET action = 'snapshot', seq_id = 7, prev_seq_id = -1 WHERE id = 1",
        "UPDATE book SET action = 'UPDATE', seq_id = '8', prev_seq_id = '7' WHERE id = 2",
    )
    updates = [update for update, _ in DBInterpreter(path).stream()]
    assert [update[4:] for update in updates] == [
        (1, True, 7, -1, ()),
        (2, False, 8, 7, ()),
    ]


@pytest.mark.parametrize(
    ("table", "column"), [("book", "bids"), ("book", "timestamp"), ("trades", "size")]
)
def test_a_missing_column_is_named_with_those_found(
    tmp_path: Path, table: str, column: str
) -> None:
    path = write_recording(tmp_path / "a.db")
    change(path, f"ALTER TABLE {table} RENAME COLUMN {column} TO other")
    with pytest.raises(RecordingError) as caught:
        DBInterpreter(path)
    found = [name for _, name, *_ in query(path, f"PRAGMA table_info({table})")]
    assert str(caught.value) == (
        f"{path}: table {table} has no column {column}; found {', '.join(found)}"
    )
    assert caught.value.path == str(path)


def test_names_of_tables_and_columns_may_be_in_any_case(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]), None)
    change(path, "ALTER TABLE book RENAME TO b", "ALTER TABLE b RENAME TO BOOK")
    change(path, "ALTER TABLE BOOK RENAME COLUMN bids TO c", "ALTER TABLE BOOK RENAME c TO Bids")
    assert times_of(events(path)[0]) == [START]


def test_generated_columns_are_read(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]), None)
    generated = "INTEGER GENERATED ALWAYS AS (moment * 1000)"
    change(
        path,
        "ALTER TABLE book RENAME COLUMN timestamp TO moment",
        f"ALTER TABLE book ADD COLUMN timestamp {generated}",
        f"UPDATE book SET moment = {START // 1000}",
    )
    assert times_of(events(path)[0]) == [START]


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("CREATE VIEW book AS SELECT 1 AS bids, 2 AS asks, 3 AS timestamp", "view"),
        ("CREATE VIRTUAL TABLE book USING fts5(bids, asks, timestamp)", "virtual table"),
    ],
)
def test_a_book_that_is_no_table_is_refused(tmp_path: Path, statement: str, kind: str) -> None:
    path = change(write_recording(tmp_path / "a.db", None, trade_rows([START])), statement)
    with pytest.raises(RecordingError, match=f"book must be a table; found a {kind}, copy"):
        DBInterpreter(path)


def test_an_index_or_a_trigger_may_have_a_tables_name(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", None, trade_rows([START]))
    change(
        path,
        "CREATE INDEX book ON trades(price)",
        "CREATE TRIGGER trades AFTER INSERT ON trades BEGIN SELECT 1; END",
    )
    assert prices_of(events(path)[0]) == [101.0]


def test_levels_may_be_blobs_null_or_of_a_database_in_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    change(path, "PRAGMA encoding = 'UTF-16'", "CREATE TABLE t(x)", "DROP TABLE t")
    rows = [BookRow(1, START, '[["1", "2"]]', None), BookRow(2, START, b'[["3", "4"]]', 5)]
    found, _ = events(write_recording(path, rows, None))
    assert [(event.bids, event.asks) for event in found[:1]] == [(b'[["1", "2"]]', b"")]
    assert found[1].bids == b'[["3", "4"]]'
    assert isinstance(found[1].asks, bytes)


def test_text_that_is_not_utf_8_and_nul_bytes_are_one_bad_row_at_most(tmp_path: Path) -> None:
    rows = [*book_rows([START]), BookRow(2, START + 1, b"\xff\xfe[", "[]\x00[1]")]
    trades = [TradeRow(1, START, b"\xff"), TradeRow(2, START, "a\x00b", side="buy\x00")]
    path = write_recording(tmp_path / "a.db", rows, trades)
    change(
        path, "UPDATE book SET bids = CAST(bids AS TEXT)", "UPDATE trades SET side = NULL WHERE 0"
    )
    found, _ = events(path)
    assert (found[1].bids, found[1].asks) == (b"\xff\xfe[", b"[]\x00[1]")
    assert [trade[0] for trade in found[0].trades] == ["\ufffd", "a\x00b"]


# -- real recordings


def real_recordings() -> list[tuple[Path, str]]:
    return [
        (path, instrument)
        for path in sorted(REAL_DATA.glob("*.db"))
        for instrument in instruments_in(path)
    ]


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"no real recordings in {REAL_DATA}")
@pytest.mark.thorough
def test_every_trade_and_row_of_the_real_recordings_comes_out_once_and_in_sql_order() -> None:
    for path, instrument in real_recordings():
        columns = "trade_id, price, size, side, timestamp"
        of_it = f"WHERE instrument = '{instrument}' ORDER BY timestamp, id"
        trades = query(path, f"SELECT {columns} FROM trades {of_it}")
        rows = query(path, f"SELECT timestamp, CAST(bids AS BLOB) FROM book {of_it}")
        found, counts = events(path, instrument)
        assert [
            (trade_id, float(price), float(size), side.lower(), moment)
            for trade_id, price, size, side, moment in trades
        ] == [trade for event in found for trade in event.trades]
        assert rows == [(event.timestamp, event.bids) for event in found if event.bids is not None]
        assert counts == db_interpreter.ReadCounts()
        for event, later in pairwise(found):
            assert all(event.timestamp <= t[4] < later.timestamp for t in event.trades)
